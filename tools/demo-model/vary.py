"""Variation of wording that works on any question: synonyms, endings, fillers, lost words."""

import re
from random import Random

# a phrase and what may stand in its place
EN_SYNONYMS = [
    (r"\b(can|could|would|will) you\b", ["can you", "could you", "would you", "will you", "can u", "could u", "would you please", "could you please", "are you able to", "would you kindly", "can you maybe"]),
    (r"^(give me|show me|tell me|i need|i want)\b", ["give me", "show me", "tell me", "let me have", "I need", "I want", "I'd like", "I would like", "please give me", "may I have", "can I have", "let me see", "get me", "kindly give me"]),
    (r"\btell me about\b", ["tell me about", "give me an overview of", "say a bit about", "tell me more about", "fill me in on", "let me hear about", "give me some info on", "say a few words about"]),
    (r"^what (is|are)\b", ["what is", "what's", "whats", "what are", "what exactly is", "what kind of thing is", "what precisely is", "do you happen to know what is", "can you tell me what is", "any idea what is", "I wonder what is", "mind telling me what is", "help me understand what is", "tell me what is", "what would you say is", "so what is", "and what is"]),
    (r"^how (do|can|would|should) i\b", ["how do I", "how can I", "how would I", "how should I", "what do I do to", "what must I do to", "in what way can I", "what is the way to", "how could I", "tell me how I can", "please show me how to", "I'd like to", "which steps do I take to"]),
    (r"^(what|which) (city|town) is\b", ["what city is", "which city is", "which town is", "what place is", "what city serves as"]),
    (r"\bdo you (know|remember)\b", ["do you know", "do you remember", "do you recall", "do you still know", "do you happen to know", "can you recall", "can you still remember", "have you kept in mind"]),
    (r"\b(please )?(explain|describe)\b", ["explain", "describe", "please explain", "clarify", "give an explanation of", "shed light on", "break down", "spell out", "quickly explain", "help me understand"]),
    (r"\bhow much (is|are)\b", ["how much is", "how many is", "what do you get for", "what do I get for", "what number is", "what comes out of", "how much would be"]),
    (r"\bshort\b", ["short", "little", "brief", "small", "tiny"]),
    (r"\babout\b", ["about", "on", "around", "regarding", "concerning"]),
]
KO_SYNONYMS = [
    (r"줘$", ["줘", "줄래", "줄 수 있어", "주세요", "주실래요", "주시겠어요", "줄래요", "주라", "줄 수 있나요", "주시면 감사하겠어요", "줬으면 좋겠어", "줄 수 있을까", "봐"]),
    (r"뭐야$", ["뭐야", "뭐예요", "뭔가요", "무엇인가요", "뭐지", "뭘까", "뭐니", "뭐죠", "뭐냐", "뭐였더라", "뭔지 알려 줘", "뭔지 궁금해", "뭔지 말해 줄래", "뭔지 알고 싶어요", "뭔지 알아", "뭘까요", "뭔지 아세요", "뭐라고 보면 돼"]),
    (r"어디야$", ["어디야", "어디예요", "어디인가요", "어디죠", "어디지", "어디일까", "어디니", "어디였더라", "어디인지 알려 줘", "어디인지 아세요", "어디일까요", "어디인지 궁금해", "어디인지 말해 줄래", "어디냐"]),
    (r"얼마야$", ["얼마야", "얼마예요", "얼마죠", "얼마지", "얼마일까", "얼마일까요", "얼마인지 알려 줘", "얼마가 돼", "얼마가 나와", "몇이 나와", "몇일까", "얼마니", "얼마인지 궁금해", "얼마인지 말해 봐"]),
    (r"(있어|있나요)$", ["있어", "있나요", "있니", "있을까", "있어요", "있습니까", "있을까요", "있지", "있는지 알려 줘", "있는지 궁금해"]),
    (r"(돼|되나요)$", ["돼", "되나요", "되니", "될까", "되죠", "돼요", "될까요", "되는지 알려 줘", "되는지 궁금해요"]),
    (r"(해|하나요)$", ["해", "하나요", "하니", "하죠", "해요", "할까", "하는지 알려 줘", "하는지 궁금해", "하는지 말해 줘", "하지"]),
    (r"(했지|였지)$", ["했지", "했더라", "했죠", "했어", "했나요", "했었지"]),
    (r"기억(해|나)$", ["기억해", "기억나", "기억하니", "기억하고 있어", "기억나니", "기억하세요", "기억하시나요", "아직 기억해", "아직 기억하지", "기억나세요"]),
    (r"(알려|말해) ", ["알려 ", "말해 ", "이야기해 ", "얘기해 ", "가르쳐 ", "소개해 ", "설명해 "]),
]
FILLERS = {
    "en": ["really", "actually", "exactly", "please", "just", "then", "so", "now", "maybe", "kindly", "quickly", "also", "again", "for me", "today", "right now", "by the way", "in short", "you know", "there", "pls", "even"],
    "ko": ["좀", "혹시", "정말", "그냥", "대체", "도대체", "정확히", "한번", "이제", "제발", "빨리", "간단히", "지금", "다시", "그", "진짜", "아주", "하나만", "나한테", "저에게", "한마디로", "쉽게", "잠깐", "또", "그럼", "먼저", "자세히"],
}


def vary(text: str, lang: str, rng: Random) -> str:
    """Reword a question without touching its <slots>."""
    ending = re.search(r"[?.!]*$", text).group()
    text = text[:len(text) - len(ending)]
    for pattern, choices in EN_SYNONYMS if lang == "en" else KO_SYNONYMS:
        if rng.random() < 0.4:
            text = re.sub(pattern, lambda m: rng.choice(choices), text, count=1, flags=re.IGNORECASE)
    words = text.split(" ")
    if len(words) > 1 and rng.random() < 0.12:
        words.insert(rng.randint(0, len(words)), rng.choice(FILLERS[lang]))
    if len(words) > 3 and rng.random() < 0.06:
        at = rng.randrange(len(words))
        if "<" not in words[at] and not words[at].strip(".,").isdigit():
            del words[at]
    return " ".join(words) + ending
