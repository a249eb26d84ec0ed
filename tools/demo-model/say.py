"""Small phrase grammar: alternatives, slots, Korean particles, user noise."""

import re
from random import Random

from vary import vary

CHOICE = re.compile(r"\(([^()]*)\)")
SLOT = re.compile(r"<(\w+)(?::([가-힣]+))?>")

# particle after a consonant -> particle after a vowel
PARTICLES = {
    "은": "는", "이": "가", "을": "를", "과": "와", "으로": "로", "이란": "란",
    "이에요": "예요", "이야": "야", "이라고": "라고", "이고": "고", "이나": "나",
    "이라는": "라는", "인": "인", "아": "야", "이라면": "라면", "이었나": "였나", "이지": "지", "인가": "인가", "이요": "요", "이랑": "랑",
}
CLOSED_ENDINGS = set("013678lmnrLMNR")

OPENERS = {
    "en": ["Hi, ", "Hello, ", "Hey, ", "Hi! ", "Hello! ", "OK, ", "Okay. ", "So, ", "Well, ",
           "Please tell me, ", "Quick question: ", "I have a question. ", "Just curious, ", "Um, ",
           "Sorry, ", "Thanks! ", "Great. ", "Now, ", "And ", "Next question: ", "Another one: ",
           "Excuse me, ", "Hey Maru, ", "Maru, ", "Good. ", "Cool! ", "Hmm, ", "Alright, ",
           "One more thing, ", "I'd like to ask: ", "Quick one: ", "Sorry to bother you, ", "If I may ask, ", "Oh, and ", "Right, ", "Now then, ", "Here is my question: ", "Tell me, ", "Let me ask you something: ", "Honestly, ", "Hello Maru, ", "Could you help me? ", "I was wondering, ", "By the way, "],
    "ko": ["안녕, ", "안녕하세요. ", "안녕하세요! ", "저기, ", "저기요, ", "혹시 ", "그럼 ", "그러면 ", "음, ",
           "질문 있어요. ", "질문이 있는데요, ", "궁금한 게 있는데, ", "아 ", "자, ", "그리고 ", "고마워. ",
           "좋아요. ", "마루야, ", "실례지만 ", "하나 더, ", "다음 질문. ", "그런데 ", "근데 ", "참, ",
           "죄송하지만 ", "있잖아, ", "오 그렇구나. ", "네, ", "응, ", "이번에는 ", "도와줘. "],
}
CLOSERS = {
    "en": [" Thanks!", " Please.", " please", " I'm curious.", " Thank you.", " I want to know.",
           " Help me out.", " :)", " 🙂", " I'd like to know.", " Go ahead."],
    "ko": [" 부탁해요.", " 부탁해", " 궁금해요.", " 궁금해", " ㅎㅎ", " ㅋㅋ", " 고마워", " 감사합니다.",
           " 😊", " 알고 싶어요.", " 잘 모르겠어서요.", " 좀요"],
}


def expand(template: str, rng: Random) -> str:
    """Replace every (a|b|c), innermost first, by one of its alternatives."""
    while True:
        chosen = CHOICE.sub(lambda m: rng.choice(m[1].split("|")), template)
        if chosen == template:
            return template
        template = chosen


def closed(word: str) -> bool:
    """Whether a Korean reader ends the word in a consonant."""
    last = word[-1]
    if "가" <= last <= "힣":
        return (ord(last) - ord("가")) % 28 != 0
    return last in CLOSED_ENDINGS


def particle(word: str, name: str) -> str:
    if name not in PARTICLES:
        return name
    if name == "으로" and "가" <= word[-1] <= "힣" and (ord(word[-1]) - ord("가")) % 28 == 8:
        return "로"
    return name if closed(word) else PARTICLES[name]


def fill(text: str, slots: dict) -> str:
    """Fill <name> and, with the fitting particle, <name:은>."""
    def one(match):
        word = str(slots[match[1]])
        return word + (particle(word, match[2]) if match[2] else "")
    return SLOT.sub(one, text)


def say(rng: Random, templates: list[str] | str, **slots) -> str:
    """One phrase without noise: used for answers."""
    template = templates if isinstance(templates, str) else rng.choice(templates)
    return fill(expand(template, rng), slots)


def ask(rng: Random, lang: str, templates: list[str] | str, bare=False, varied=True, **slots) -> str:
    """One phrase as users write it: openers, closers, careless spelling.

    Slots are filled last, so that noise never changes a value.
    """
    template = templates if isinstance(templates, str) else rng.choice(templates)
    text = re.sub(" +", " ", expand(template, rng)).strip()
    if varied:
        text = vary(text, lang, rng)
    if not bare:
        if rng.random() < 0.22:
            text = rng.choice(OPENERS[lang]) + text
        if rng.random() < 0.10:
            text = text + rng.choice(CLOSERS[lang])
    return fill(careless(text, lang, rng), slots)


def careless(text: str, lang: str, rng: Random) -> str:
    has_slot = "<" in text
    roll = rng.random()
    if roll < 0.25:
        text = text.rstrip("?.!")
    elif roll < 0.30:
        text = text.rstrip("?.!") + rng.choice(["??", "!", "?!", "...", "~", " ?", "."])
    if lang == "en":
        roll = rng.random()
        if roll < 0.30:
            text = text.lower()
        elif roll < 0.33 and not has_slot:
            text = text.upper()
        elif roll < 0.80 and not text.startswith("<"):
            text = text[:1].upper() + text[1:]
        if rng.random() < 0.05:
            text = typo(text, rng)
    else:
        spaces = [i for i, ch in enumerate(text) if ch == " " and text[i + 1:i + 2] != "<"]
        if spaces and rng.random() < 0.25:
            for i in sorted(rng.sample(spaces, rng.randint(1, min(2, len(spaces)))), reverse=True):
                text = text[:i] + text[i + 1:]
    return text


def typo(text: str, rng: Random) -> str:
    """Drop, double or swap one letter inside a longer lower-case word."""
    words = text.split(" ")
    places = [i for i, w in enumerate(words) if len(w) >= 5 and w.isalpha() and w.islower()]
    if not places:
        return text
    i = rng.choice(places)
    word, at = words[i], rng.randint(1, len(words[i]) - 2)
    kind = rng.randrange(3)
    if kind == 0:
        word = word[:at] + word[at + 1:]
    elif kind == 1:
        word = word[:at] + word[at] + word[at:]
    else:
        word = word[:at] + word[at + 1] + word[at] + word[at + 2:]
    words[i] = word
    return " ".join(words)
