"""Types that the clients are asked to bring answers into. The demo model cannot follow instructions: it is held to them."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

Sky = Literal["맑음", "흐림", "비"]
# Without a bound it would write digits until it is cut.
Hour = Annotated[int, Field(ge=0, le=23)]


class Forecast(BaseModel):
    """A forecast."""

    model_config = ConfigDict(extra="forbid")

    sky: Sky
    degrees: int = Field(ge=-40, le=50)
    hours: list[Hour] = Field(max_length=3)


class GetWeather(BaseModel):
    """Looks up the weather."""

    model_config = ConfigDict(extra="forbid")

    city: str = Field(max_length=12)
    sky: Sky


@pytest.fixture(scope="session")
def forecast() -> type[BaseModel]:
    return Forecast


@pytest.fixture(scope="session")
def get_weather() -> type[BaseModel]:
    return GetWeather
