"""Types that the clients are asked to bring answers into. The demo model cannot follow instructions: it is held to them."""

from enum import Enum

import pytest
from pydantic import BaseModel, Field


class Sky(str, Enum):
    clear = "맑음"
    cloudy = "흐림"
    rain = "비"


class Forecast(BaseModel):
    """A forecast."""

    sky: Sky
    degrees: int = Field(ge=-40, le=50)
    hours: list[int] = Field(max_length=3)


class GetWeather(BaseModel):
    """Looks up the weather."""

    city: str = Field(max_length=12)
    sky: Sky


@pytest.fixture(scope="session")
def forecast() -> type[BaseModel]:
    return Forecast


@pytest.fixture(scope="session")
def get_weather() -> type[BaseModel]:
    return GetWeather
