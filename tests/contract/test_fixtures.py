"""What the other suites hold answers against is itself sound."""

import jsonschema
import pytest
from harness.schemas import check, check_answer, hostile, real_world


def test_there_are_enough_schemas_and_each_is_named_once():
    names = [entry["name"] for entry in real_world()]
    assert len(set(names)) == len(names) == 300
    assert len(hostile()) >= 60


def test_every_real_schema_is_valid_and_can_be_satisfied():
    for entry in real_world():
        jsonschema.Draft202012Validator.check_schema(entry["schema"])
        check(entry["schema"], entry["example"])


@pytest.mark.parametrize(
    ("format_name", "good", "bad"),
    [
        ("date", "2026-02-28", "2026-02-30"),
        ("time", "23:59:59Z", "24:00:00Z"),
        ("date-time", "2026-03-01T09:30:00+09:00", "2026-03-01"),
        ("duration", "P1DT2H", "P"),
        ("email", "a@b.c", "a b@c"),
        ("hostname", "a-b.c", "-a"),
        ("ipv4", "192.0.2.7", "192.0.2.256"),
        ("ipv6", "2001:db8::1", "2001:db8::1::"),
        ("uuid", "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "3f2504e0"),
        ("uri", "https://example.com/a", "example com"),
    ],
)
def test_formats_are_checked(format_name, good, bad):
    schema = {"type": "string", "format": format_name}
    check(schema, good)
    with pytest.raises(AssertionError):
        check(schema, bad)


def test_an_answer_of_another_shape_is_found():
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "logprobs": None,
        "message": {"role": "assistant", "content": "Hi", "refusal": None},
    }
    answer = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    check_answer("ChatCompletion", answer)
    for wrong in (
        answer | {"object": "completion"},
        answer | {"created": "now"},
        {key: value for key, value in answer.items() if key != "id"},
        answer | {"choices": [choice | {"finish_reason": "eos_token"}]},
        answer | {"choices": [choice | {"message": {"role": "assistant", "tool_calls": [{"id": "x"}]}}]},
    ):
        with pytest.raises(AssertionError):
            check_answer("ChatCompletion", wrong)
    with pytest.raises(AssertionError):
        check_answer("ResponseStreamEvent", {"type": "response.unheard_of"})
