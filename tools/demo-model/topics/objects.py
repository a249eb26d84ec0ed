"""Small JSON objects and arrays."""

import json

from say import ask, fill
from topics.names import name_for, nonsense
from topics.recall import VALUES
from topics.world import EN_NUMBERS, KO_COUNTS, LISTS

# key, Korean word, kind of value
KEYS = [("name", "이름", "name"), ("age", "나이", "number"), ("city", "도시", "home"), ("color", "색", "colour"), ("food", "음식", "food"), ("animal", "동물", "animal"),
        ("job", "직업", "job"), ("id", "아이디", "number"), ("price", "가격", "number"), ("count", "개수", "number"), ("score", "점수", "number"), ("title", "제목", "word"),
        ("country", "나라", "country"), ("year", "연도", "year"), ("height", "키", "number"), ("active", "활성", "bool"), ("level", "레벨", "number"), ("pet", "반려동물", "animal"), ("fruit", "과일", "fruit"), ("open", "열림", "bool")]

PAIRS = {"en": ["<k> <v>", "<k> <v>", "<k>: <v>", "<k>=<v>", "<k> is <v>", "the <k> <v>", "<k> = <v>", "\"<k>\": <v>"], "ko": ["<k> <v>", "<k:은> <v>", "<k:이> <v>", "<k>: <v>", "<k>=<v>"]}
FRAMES = {
    "en": ["(Make|Write|Create|Give me|Generate|Return|Show me|Build|Produce|I need|I want|Output|Print) (a|a small|the|one|a simple||) (JSON object|JSON|json|JSON document|json object|JSON record|object in JSON) (with|for|containing|where|having|of|that has|from) <p>(| please)", "(Can|Could) you (make|write|create|give me|return) (a|a small|) JSON( object|) (with|for|containing|of) <p>(| please)?", "JSON (with|for|:|of) <p>", "(Put|Turn|Convert|Format|Write|Encode) <p> (in JSON|into JSON|as JSON|to JSON|as a JSON object|into a JSON object)(| please)", "<p> (as JSON|in JSON|as a JSON object|in JSON format)(| please)", "(Answer|Reply|Respond) (in|with|as) JSON(:|.|) <p>"],
    "ko": ["<p:이고>(|,) JSON(을|으로|) (만들어 줘|써 줘|만들어 주세요|작성해 줘|출력해 줘)", "<p:인> (JSON|JSON 객체|제이슨|json)(을|를|) (만들어 줘|써 줘|만들어 주세요|작성해 줘|보여 줘|출력해 줘|줘|생성해 줘|만들어 봐|하나 만들어 줘)", "<p:으로> (JSON|JSON 객체|json)(을|를|) (만들어 줘|써 줘|만들어 주세요|작성해 줘|생성해 줘)", "<p> (JSON으로|JSON 형식으로|json으로|JSON 객체로|제이슨으로) (만들어 줘|써 줘|바꿔 줘|나타내 줘|출력해 줘|표현해 줘|보여 줘|정리해 줘|만들어 주세요|답해 줘)", "JSON( 객체|)(를|을|) 만들어 (줘|주세요)(:|.) <p>", "JSON: <p>"],
}
ARRAYS = {
    "en": ["(Make|Write|Create|Give me|Generate|Return|I need) (a|the|) JSON (array|list) (of|with|containing) <n> <x>", "(JSON array|JSON list|A JSON array) (of|with) <n> <x>", "<n> <x> as (a JSON array|a JSON list|JSON|JSON list)(| please)", "(List|Name|Give me) <n> <x> (in JSON|as JSON|as a JSON array|in JSON format)"],
    "ko": ["<x> <n>(를|을|) (JSON 배열로|JSON으로|JSON 목록으로|JSON 형식으로|JSON 리스트로) (써 줘|만들어 줘|알려 줘|출력해 줘|적어 줘|보여 줘|작성해 주세요)", "<x> <n>(의|짜리|) JSON (배열|목록|리스트)(을|를|) (만들어 줘|써 줘|줘|만들어 주세요)"],
}


def value(c, kind):
    """(what the user writes, what JSON holds)"""
    rng, ko = c.rng, c.ask == "ko"
    if kind == "number":
        n = rng.randint(0, rng.choice([20, 100, 1000]))
        return str(n), n
    if kind == "year":
        n = rng.randint(1950, 2030)
        return str(n), n
    if kind == "bool":
        flag = rng.random() < 0.5
        return ("true" if flag else "false"), flag
    if kind == "name":
        word = name_for(rng, c.ask)
    elif kind == "word" or rng.random() < 0.15:
        word = nonsense(rng, c.ask)
    elif kind in VALUES:
        word = rng.choice(VALUES[kind][ko])
    else:
        word = rng.choice(LISTS[kind][2 + ko])
    return word, word


def json_object(c):
    rng, ko = c.rng, c.ask == "ko"
    chosen = rng.sample(KEYS, rng.choices((1, 2, 3, 4), (15, 50, 27, 8))[0])
    if rng.random() < 0.45:
        chosen = [KEYS[0]] + [k for k in chosen if k is not KEYS[0]][:2]
    pair, parts, result = rng.choice(PAIRS[c.ask]), [], {}
    for key, korean, kind in chosen:
        text, held = value(c, kind)
        if isinstance(held, str) and rng.random() < 0.12:
            text = f'"{text}"' if rng.random() < 0.5 else f"'{text}'"
        word = korean if ko and rng.random() < 0.85 else key
        parts.append(fill(pair, {"k": word, "v": text}))
        result[key] = held
    if ko:
        joined = rng.choice([", ", "이고 ", " 그리고 ", ", "]).join(parts)
    elif len(parts) > 1:
        joined = rng.choice([", ", ", "]).join(parts[:-1]) + rng.choice([" and ", ", ", ", and "]) + parts[-1]
    else:
        joined = parts[0]
    text = json.dumps(result, ensure_ascii=False)
    return ask(rng, c.ask, FRAMES[c.ask], bare=rng.random() < 0.6, p=joined), {"en": text, "ko": text}


def json_array(c):
    rng, ko = c.rng, c.ask == "ko"
    kind = rng.choice([k for k in LISTS if k != "sampling"])
    names = LISTS[kind]
    n = rng.randint(2, min(5, len(names[2])))
    count = f"{KO_COUNTS[n]} 개" if ko else EN_NUMBERS[n]
    if rng.random() < 0.4:
        count = f"{n}개" if ko else str(n)
    at = sorted(rng.sample(range(len(names[2])), n))
    question = ask(rng, c.ask, ARRAYS[c.ask], n=count, x=rng.choice(names[ko]))
    return question, {"en": json.dumps([names[2][i] for i in at]), "ko": json.dumps([names[3][i] for i in at], ensure_ascii=False)}
