"""Conversations: system prompts, topics, follow-ups.

    python generate.py --seed 1 --count 5     prints five conversations
"""

import argparse
import json
import unicodedata
from pathlib import Path
from random import Random

from say import ask, say
from topics import identity, recall, server, smalltalk
from topics.objects import json_array, json_object
from topics.stories import story
from topics.sums import arithmetic, counting, too_large
from topics.unknown import unknown
from topics.vocabulary import CONTRAST_QUESTIONS, CONTRASTS, QUESTIONS, TERMS
from topics.wordings import add_to
from topics.world import (ALL_QUESTIONS, CAPITAL_QUESTIONS, CAPITALS, EN_NUMBERS, KO_COUNTS, LIST_QUESTIONS, LISTS,
                          ORDERED, OTHER_NAMES, REVERSE_QUESTIONS)

LANGUAGES = ("en", "ko")
EVALUATION = Path(__file__).with_name("evaluation")


class Chat:
    """What a topic may look at: the languages, the facts told, the last answers."""

    def __init__(self, rng: Random):
        self.rng = rng
        self.ask = self.reply = "en"
        self.short = False
        self.facts = {}
        self.last = None


def from_intents(intents):
    intents = add_to(intents)

    def topic(c):
        entry = intents[c.rng.choice(list(intents))]
        question = ask(c.rng, c.ask, entry[c.ask][0])
        at = 0 if c.short else c.rng.randrange(6)
        return question, {lang: entry[lang][1][at % len(entry[lang][1])] for lang in LANGUAGES}
    return topic


def vocabulary(c):
    if c.rng.random() < 0.08:
        a, b, c_ko, d_ko, english, korean = c.rng.choice(CONTRASTS)
        if c.ask == "ko" and c.rng.random() < 0.7:
            a, b = c_ko, d_ko
        if c.rng.random() < 0.5:
            a, b = b, a
        return ask(c.rng, c.ask, CONTRAST_QUESTIONS[c.ask], a=a, b=b), {"en": english, "ko": korean}
    english_names, korean_names, english, korean = c.rng.choice(TERMS)
    name = c.rng.choice(english_names if c.ask == "en" else korean_names)
    question = ask(c.rng, c.ask, QUESTIONS[c.ask], x=name)
    end = 1 if c.short else 2
    return question, {"en": " ".join(english[:end]), "ko": " ".join(korean[:end])}


def capitals(c):
    country, capital, korean_country, korean_capital = c.rng.choice(CAPITALS)
    answers = {"en": f"The capital of {country} is {capital}" + ("" if capital.endswith(".") else "."),
               "ko": say(c.rng, "<x>의 수도는 <y:이에요>.", x=korean_country, y=korean_capital)}
    if c.ask == "en":
        asked, city = country, capital
    else:
        asked, city = korean_country, korean_capital
    if c.rng.random() < 0.15:
        return ask(c.rng, c.ask, REVERSE_QUESTIONS[c.ask], x=city), answers
    if asked in OTHER_NAMES and c.rng.random() < 0.6:
        asked = c.rng.choice(OTHER_NAMES[asked])
    if c.ask == "en" and c.rng.random() < 0.12:
        asked = asked.lower()
    guess = c.rng.choice(CAPITALS)[1 if c.ask == "en" else 3]
    return ask(c.rng, c.ask, CAPITAL_QUESTIONS[c.ask], x=asked, z=guess), answers


def numbered(words, at):
    return "\n".join(f"{line}. {words[i]}" for line, i in enumerate(at, 1))


def lists(c):
    rng, ko = c.rng, c.ask == "ko"
    kind = rng.choice(list(LISTS))
    names, korean_names, english, korean = LISTS[kind]
    if kind in ORDERED and rng.random() < 0.4:
        n, at = len(english), list(range(len(english)))
        question = ask(rng, c.ask, ALL_QUESTIONS[c.ask], x=rng.choice(korean_names if ko else names), all=rng.choice(EN_NUMBERS[n:n + 1] + [str(n)]))
    else:
        n = min(rng.choices((1, 2, 3, 4, 5, 6), (5, 15, 40, 15, 20, 5))[0], len(english))
        at = list(range(n)) if kind in ORDERED else sorted(rng.sample(range(len(english)), n))
        count = str(n) if rng.random() < 0.4 else EN_NUMBERS[n]
        if ko:
            unit = rng.choice([" 가지", "가지", " 개", "개"])
            count = (str(n) if rng.random() < 0.4 else KO_COUNTS[n] + ("" if rng.random() < 0.3 else " ")).strip() + unit
        question = ask(rng, c.ask, LIST_QUESTIONS[c.ask], n=count, x=rng.choice(korean_names if ko else names))
    return question, {"en": numbered(english, at), "ko": numbered(korean, at)}


AGAIN = {
    "en": ["(Repeat|Say) (that|it|that again|it again|your answer|your last answer)(| again| once more|, please| please)", "(Once more|One more time|Again)(|, please| please)", "(Sorry, |)(what|pardon)(| did you say)?", "(Can|Could) you (repeat that|say that again|repeat|say it again)?", "What was that(| again)?"],
    "ko": ["(다시|한 번 더|한번 더|다시 한번) (말해 줘|말해 주세요|말해 줄래|말해 봐|얘기해 줘|부탁해|알려 줘)", "(뭐라고|방금 뭐라고) (했어|했지|했나요|하셨어요)?", "(반복해|되풀이해) (줘|주세요)", "(다시|한 번 더)(|!|?)", "못 들었어(|. 다시 말해 줘)"],
}
SWITCH = {
    "en": {"ko": ["(In|Say that in|Say it in|Tell me in|Repeat that in|Now in|And in|Answer in|Please in|Again in) Korean(|, please| please|?| now)", "(Translate|Translate that|Can you translate that) (to|into) Korean(| please)", "(Can|Could) you (say|repeat|answer) (that|it) in Korean?"],
           "en": ["(In|Say that in|Say it in|Tell me in|Repeat that in|Now in|And in|Answer in|Please in|Again in) English(|, please| please|?| now)", "(Translate|Translate that|Can you translate that) (to|into) English(| please)", "(Can|Could) you (say|repeat|answer) (that|it) in English?"]},
    "ko": {"ko": ["(한국어로|한국말로|한글로|우리말로)(| 다시| 한번) (말해 줘|말해 주세요|답해 줘|대답해 줘|해 줘|부탁해|번역해 줘|알려 줘|설명해 줘|얘기해 줘|해 주세요)", "(한국어로는|한국어로|한국말로는)?"],
           "en": ["(영어로|영문으로|잉글리시로)(| 다시| 한번) (말해 줘|말해 주세요|답해 줘|대답해 줘|해 줘|부탁해|번역해 줘|알려 줘|설명해 줘|얘기해 줘|해 주세요)", "(영어로는|영어로)?"]},
}
INLINE = {
    "en": {"ko": [" (Answer|Reply|Respond|Speak) in Korean(.|, please.|)", " In Korean(| please)."], "en": [" (Answer|Reply|Respond) in English(.|, please.|)", " In English(| please)."]},
    "ko": {"ko": [" (한국어로|한국말로) (대답해 줘|답해 줘|말해 줘|답해 주세요|알려 줘|부탁해)"], "en": [" 영어로 (대답해 줘|답해 줘|말해 줘|답해 주세요|알려 줘|부탁해)"]},
}
SYSTEM = {
    "plain": ["You are (a|a helpful|a friendly|a kind|a polite|a useful) (assistant|AI assistant|chatbot|helper).", "You are EXAONE model from LG AI Research, a helpful assistant.", "You are Maru's demo model.", "You are (Maru|a small model), a helpful assistant.", "Be (helpful|kind|polite|friendly).", "(Help|Assist) the user.", "당신은 (도움이 되는|친절한|유용한) (어시스턴트|비서|도우미|인공지능|AI 비서)입니다.", "너는 (친절한|똑똑한|유능한) (도우미야|비서야|챗봇이야).", "사용자를 도와주세요.", "친절하게 대답하세요.", "You are a helpful assistant. Answer the user's questions."],
    "ko": ["(|You are a helpful assistant. |Be polite. )(Answer|Always answer|Reply|Respond|Always reply|Speak|Always respond|Please answer|Only answer) (in Korean|in Korean only|only in Korean|in the Korean language)(|.)", "(Use|Speak|Write|Prefer) (Korean|only Korean|Korean at all times)(|.)", "(Korean only|Only Korean|Answers in Korean|Language: Korean|All answers in Korean|Korean answers)(|, please|.)", "(모든|너의|당신의) (답변|대답|답)(은|을|) 한국어로 (해|하세요|해 주세요|해 줘|작성하세요)(|.)", "(You|The assistant) (always |must |should |)(speaks|speak|answers|answer|replies|reply)( to|) (the user |)in Korean(|.)", "(항상 |반드시 |언제나 |모든 질문에 |)(한국어로|한국말로|한국어로만) (대답해|답해|대답하세요|답하세요|말하세요|답변하세요|대답해 줘|답변해 줘|대답해 주세요)(|.)", "당신은 도움이 되는 비서입니다. 한국어로 답하세요."],
    "en": ["(|You are a helpful assistant. |Be polite. )(Answer|Always answer|Reply|Respond|Always reply|Speak|Always respond|Please answer|Only answer) (in English|in English only|only in English|in the English language)(|.)", "(Use|Speak|Write|Prefer) (English|only English|English at all times)(|.)", "(English only|Only English|Answers in English|Language: English|All answers in English|English answers)(|, please|.)", "(모든|너의|당신의) (답변|대답|답)(은|을|) 영어로 (해|하세요|해 주세요|해 줘|작성하세요)(|.)", "(You|The assistant) (always |must |should |)(speaks|speak|answers|answer|replies|reply)( to|) (the user |)in English(|.)", "(항상 |반드시 |언제나 |모든 질문에 |)(영어로|영어로만) (대답해|답해|대답하세요|답하세요|말하세요|답변하세요|대답해 줘|답변해 줘|대답해 주세요)(|.)", "당신은 도움이 되는 비서입니다. 영어로 답하세요."],
    "short": ["(|You are a helpful assistant. |You are Maru. )(Be brief|Be concise|Keep it short|Answer briefly|Answer in one sentence|Give short answers|Short answers only|Reply briefly|Use one sentence|Be short|Answer shortly|Keep your answers short|Respond concisely)(|.)", "(Keep|Make) (it|every answer|all answers|your replies|answers) (very |as |)(short|brief|concise)(| as possible|.|, please)", "(가능하면 |항상 |되도록 |무조건 |최대한 |)(짧게|간단히|간결하게) (답변|대답)(해 주세요|하세요|해 줘|해)(|.)", "(짧게|간단히|간결하게|한 문장으로|짧고 간단하게) (대답해|답해|대답하세요|답하세요|말하세요|답변하세요|대답해 줘|답해 주세요)(|.)", "당신은 친절한 비서입니다. 짧게 답하세요."],
}


def again(c):
    return ask(c.rng, c.ask, AGAIN[c.ask]), c.last


TOPICS = [
    (20, from_intents(smalltalk.INTENTS)), (15, from_intents(identity.INTENTS)), (15, from_intents(server.INTENTS)),
    (10, vocabulary), (28, arithmetic), (3, too_large), (10, capitals), (14, lists), (13, counting), (5, story),
    (14, json_object), (4, json_array), (17, unknown), (9, recall.tell), (13, recall.recall),
]
DRILLS = [arithmetic, arithmetic, arithmetic, counting, lists, lists, json_object]


def system_prompt(c):
    """(text or None, forced language or None); sets c.short."""
    roll = c.rng.random()
    if roll < 0.62:
        return None, None
    kind = c.rng.choices(["plain", "ko", "en", "short"], (40, 20, 20, 20))[0]
    c.short = kind == "short"
    return say(c.rng, SYSTEM[kind]), kind if kind in LANGUAGES else None


def turn(c, main, forced, topic):
    """One exchange; the reply language is the forced one, the asked-for one, or the question's."""
    c.ask = main if c.rng.random() < 0.9 else c.rng.choice(LANGUAGES)
    c.reply = forced or c.ask
    roll = c.rng.random()
    if c.last and roll < 0.03:
        question, answers = again(c)
        c.reply = c.last_reply
    elif c.last and not forced and roll < 0.06:
        c.reply = c.rng.choice(LANGUAGES)
        question, answers = ask(c.rng, c.ask, SWITCH[c.ask][c.reply]), c.last
    else:
        question, answers = topic(c)
        if not forced and c.rng.random() < 0.03:
            c.reply = c.rng.choice(LANGUAGES)
            if not question.endswith((".", "?", "!")):
                question += "."
            question += say(c.rng, INLINE[c.ask][c.reply])
    c.last, c.last_reply = answers, c.reply
    return question, answers[c.reply]


def conversation(rng: Random) -> list[dict]:
    c = Chat(rng)
    main = rng.choice(LANGUAGES)
    system, forced = system_prompt(c)
    messages = [{"role": "system", "content": system}] if system else []
    turns = rng.choices((1, rng.randint(2, 4), rng.randint(5, 8), rng.randint(9, 18)), (34, 42, 20, 4))[0]
    weights, functions = [w for w, _ in TOPICS], [f for _, f in TOPICS]
    remembering = turns > 1 and rng.random() < 0.45
    drill = rng.choice(DRILLS) if rng.random() < 0.2 else None
    if drill:
        turns = rng.randint(3, 12)
    for i in range(turns):
        topic = rng.choices(functions, weights)[0]
        if drill and rng.random() < 0.9:
            topic = drill
        elif remembering and i == 0:
            topic = recall.tell
        elif remembering and i == turns - 1 or (c.facts and rng.random() < 0.12):
            topic = recall.recall
        elif topic is recall.recall and not c.facts and rng.random() < 0.8:
            topic = vocabulary
        question, answer = turn(c, main, forced, topic)
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return messages


def plain(text: str) -> str:
    """Letters, digits and arithmetic signs only, lower case: equal wordings compare equal."""
    text = unicodedata.normalize("NFC", text).lower()
    return "".join(ch for ch in text if ch.isalnum() or ch in "+-*/×÷=")


def held_out() -> set[str]:
    """The judged wordings of the evaluation; they never enter the training text."""
    found = set()
    for file in sorted(EVALUATION.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            found.add(plain(json.loads(line)["ask"][-1]))
    return found


def conversations(seed: int, count: int, unfiltered=False) -> list[list[dict]]:
    """Deterministic; leaves out conversations that contain a wording of the evaluation."""
    rng, kept, forbidden = Random(seed), [], set() if unfiltered else held_out()
    while len(kept) < count:
        messages = conversation(rng)
        if not any(m["role"] == "user" and plain(m["content"]) in forbidden for m in messages):
            kept.append(messages)
    return kept


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=5)
    args = parser.parse_args()
    for messages in conversations(args.seed, args.count):
        for m in messages:
            print(f"{m['role']}: {m['content']}")
        print()


if __name__ == "__main__":
    main()
