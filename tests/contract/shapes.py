"""The schemas that requests of several endpoints ask for."""

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "unit": {"enum": ["celsius", "fahrenheit"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
FORECAST = {
    "type": "object",
    "properties": {
        "날씨": {"enum": ["맑음", "흐림", "비"]},
        "degrees": {"type": "integer", "minimum": -40, "maximum": 50},
    },
    "required": ["날씨", "degrees"],
    "additionalProperties": False,
}
