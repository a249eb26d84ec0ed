"""Small arithmetic and counting."""

from say import ask, say
from topics.world import EN_NUMBERS, KO_NUMBERS

SIGNS = {"+": ["+", " + ", "+ ", " +"], "-": ["-", " - ", "- ", "−"], "×": ["*", " * ", " x ", "×", " × ", "x"], "÷": [" / ", "/", "÷", " ÷ "]}
WORDS_EN = {"+": ["plus", "and", "added to"], "-": ["minus", "take away", "less"], "×": ["times", "multiplied by"], "÷": ["divided by", "over"]}
WORDS_KO = {"+": ["더하기", "플러스"], "-": ["빼기", "마이너스"], "×": ["곱하기"], "÷": ["나누기"]}

FRAMES_EN = ["<e>", "<e> =", "<e> = ?", "What is <e>?", "What's <e>?", "How much is <e>?", "(Calculate|Compute|Solve|Work out|Evaluate) <e>(| please)", "(Can|Could) you (calculate|compute|tell me|solve|add up|work out) <e>?", "<e> (is|equals|makes|gives) (what|how much)?",
             "(Tell me|Give me) (the result of |the answer to |what is ||)<e>", "What (does|do) <e> (make|equal|give|come to)?", "Do you know <e>?", "(I need|Please do) <e>", "(And|What about|How about) <e>?", "The (result|answer|value) of <e>?", "Math: <e>"]
FRAMES_KO = ["<e>", "<e> =", "<e> = ?", "<e:은> (얼마야|얼마예요|뭐야|몇이야|몇인가요|얼마인가요|몇이지|얼마지|몇이에요)?", "<e:이> (얼마야|뭐야|몇이야|얼마지|얼마인지 알려 줘)?", "<e> (계산해 줘|계산해 주세요|계산|얼마야|답은|결과는|하면 얼마야|하면 몇이야|하면|하면 뭐가 돼|을 하면 얼마예요|값은|계산해 볼래|계산 좀 해 줘)?", "<e:을> (계산해 줘|계산해 주세요|계산하면 얼마야|풀어 줘|계산해 봐|해 봐)", "<e>의 (값은|답은|결과는|결과를 알려 줘|답을 알려 줘|값을 구해 줘)?", "<e:을> (알려 줘|구해 줘|구하면)", "(계산 문제|수학 문제|계산)(:|야.|) <e>"]
SPECIAL_EN = {"+": ["(Add|Sum) <a> and <b>", "(What is|Give me|Tell me) the sum of <a> and <b>?", "(Add|Can you add) <b> to <a>"],
              "-": ["Subtract <b> from <a>", "(What is|Tell me) the difference (between|of) <a> and <b>?", "(Take|Take away) <b> from <a>"],
              "×": ["Multiply <a> (by|and|with) <b>", "(What is|Tell me) the product of <a> and <b>?"],
              "÷": ["Divide <a> by <b>"]}
SPECIAL_KO = {"+": ["<a>에 <b:을> 더하면 (얼마야|몇이야|뭐야|얼마예요)?", "<a:과> <b:을> 더해 (줘|주세요|봐)", "<a:과> <b:을> (더하면|합하면) (얼마야|몇이야|얼마예요|뭐가 돼)?", "<a:과> <b>의 합(은|을 알려 줘|을 구해 줘)?"],
              "-": ["<a>에서 <b:을> (빼면|뺀 값은|빼 줘|빼면 얼마야|빼면 몇이야|빼면 얼마예요|빼 봐)?", "<a:과> <b>의 차(는|를 알려 줘)?"],
              "×": ["<a>에 <b:을> 곱하면 (얼마야|몇이야|뭐야)?", "<a:과> <b:을> 곱해 (줘|주세요|봐)", "<a:과> <b:을> 곱하면 (얼마야|몇이야|얼마예요)?", "<a:과> <b>의 곱(은|을 알려 줘|을 구해 줘)?"],
              "÷": ["<a:을> <b:으로> 나누면 (얼마야|몇이야|얼마예요)?", "<a:을> <b:으로> 나눠 (줘|봐|주세요)"]}
THINGS = [("apples", "사과"), ("books", "책"), ("coins", "동전"), ("candies", "사탕"), ("pens", "펜"), ("stickers", "스티커"), ("cookies", "쿠키"), ("balls", "공")]
STORIES = {
    ("en", "+"): ["I have <a> <t> and (get|buy|find|receive) <b> more. How many (do I have|<t> do I have|in total|now)?", "There are <a> <t> here and <b> <t> there. How many (altogether|in total|<t> are there)?"],
    ("en", "-"): ["I have <a> <t> and (eat|lose|give away|sell|drop) <b>. How many (are left|do I have left|remain|do I have now)?", "There are <a> <t>. <b> are taken away. How many (are left|remain)?"],
    ("en", "×"): ["There are <a> boxes with <b> <t> each. How many <t> (in total|are there|altogether)?"],
    ("ko", "+"): ["<t:이> <a>개 있는데 <b>개를 더 (샀어|받았어|얻었어|찾았어). (모두|전부|이제|다 합쳐서) 몇 개야?", "<t> <a>개와 <b>개를 (합치면|더하면|모으면) 몇 개야?"],
    ("ko", "-"): ["<t:이> <a>개 있는데 <b>개를 (먹었어|잃어버렸어|줬어|팔았어|버렸어). (몇 개 남았어|이제 몇 개야|남은 건 몇 개야)?"],
    ("ko", "×"): ["상자 <a>개에 <t:이> <b>개씩 들어 있어. (모두|전부|총) 몇 개야?"],
}


def operands(rng, sign):
    if sign == "÷":
        b, q = rng.randint(1, 12), rng.randint(1, 12)
        return b * q, b
    if sign == "×":
        top = 20 if rng.random() < 0.45 else 10
        return rng.randint(0, top), rng.randint(0, top)
    a, b = rng.randint(0, 20), rng.randint(0, 20)
    if sign == "-" and a < b and rng.random() < 0.6:
        a, b = b, a
    return a, b


def solve(a, sign, b):
    return {"+": a + b, "-": a - b, "×": a * b, "÷": a // b if b else 0}[sign]


def spoken(n, lang):
    names = EN_NUMBERS if lang == "en" else KO_NUMBERS
    return names[n] if n <= 20 else str(n)


def sum_question(rng, lang, a, sign, b):
    kind = rng.random()
    if kind < 0.14 and (lang, sign) in STORIES and min(a, b) > 1 and solve(a, sign, b) >= 0:
        thing = rng.choice(THINGS)[lang == "ko"]
        return ask(rng, lang, STORIES[lang, sign], bare=True, a=a, b=b, t=thing)
    words = rng.random() < 0.3
    x, y = (spoken(a, lang), spoken(b, lang)) if words else (a, b)
    if kind < 0.34:
        return ask(rng, lang, (SPECIAL_EN if lang == "en" else SPECIAL_KO)[sign], a=x, b=y)
    if words or rng.random() < 0.35:
        join = " " + rng.choice((WORDS_EN if lang == "en" else WORDS_KO)[sign]) + " "
        if lang == "ko" and not words and rng.random() < 0.3:
            join = join.strip()
    else:
        join = rng.choice(SIGNS[sign])
    return ask(rng, lang, FRAMES_EN if lang == "en" else FRAMES_KO, e=f"{x}{join}{y}")


def arithmetic(c):
    sign = c.rng.choices("+-×÷", (30, 30, 32, 8))[0]
    a, b = operands(c.rng, sign)
    result = f"{a} {sign} {b} = {solve(a, sign, b)}"
    return sum_question(c.rng, c.ask, a, sign, b), {"en": result, "ko": result}


def too_large(c):
    sign = c.rng.choice("+-×÷")
    size = c.rng.choice([(101, 999), (1000, 99999), (200, 5000)])
    a, b = c.rng.randint(*size), c.rng.randint(21, size[1])
    if c.rng.random() < 0.3:
        a, b = b, a
    join = c.rng.choice(SIGNS[sign])
    question = ask(c.rng, c.ask, FRAMES_EN if c.ask == "en" else FRAMES_KO, e=f"{a}{join}{b}")
    return question, {"en": "That is too large for me. I only calculate with numbers up to about 20.",
                      "ko": "저에게는 너무 큰 수예요. 저는 20 정도까지의 수만 계산해요."}


COUNT = {
    "up": {"en": ["(Count|Please count|Can you count|Could you count|Count for me|Let's count|I want you to count) (to|up to|from 1 to|from one to|till|until) <b>(| please)", "(Write|List|Say|Give me|Show me|Print) the numbers (from 1 to|1 to|up to|from one to) <b>", "(Numbers|Counting|Count) (from 1 to|1 to|1 -|1 through) <b>", "Start at 1 and count (up to|to|until) <b>"],
           "ko": ["(1부터 |일부터 |)<b>까지 (숫자를 |수를 |) (세어 줘|세 줘|세어 봐|세어 주세요|말해 줘|써 줘|세 봐|세어 볼래|나열해 줘|적어 줘|숫자 세어 줘|카운트해 줘|세 주세요|세어줘)", "숫자(를|) (1부터 |)<b>까지 (세어 줘|말해 줘|써 줘|나열해 줘|세 줘|적어 주세요)", "1에서 <b>까지 (세어 줘|세 줘|숫자를 말해 줘|써 줘)"]},
    "range": {"en": ["(Count|Please count|Can you count|Could you count|Count for me) from <a> (to|up to|until|till) <b>(| please)", "(Write|List|Say|Give me|Show me) (the|all) numbers (from|between) <a> (to|and) <b>", "(Numbers|Count|Counting) <a> to <b>", "Start at <a> and count (up to|to|until) <b>"],
              "ko": ["<a>부터 <b>까지 (숫자를 |수를 |) (세어 줘|세 줘|세어 봐|세어 주세요|말해 줘|써 줘|나열해 줘|적어 줘|세 봐|세 주세요)", "<a>에서 <b>까지 (세어 줘|세 줘|숫자를 말해 줘|세어 봐|숫자를 써 줘)", "숫자를 <a>부터 <b>까지 (세어 줘|말해 줘|써 줘|세 줘)"]},
    "down": {"en": ["(Count|Please count|Can you count) (down|backwards|backward|back) from <b>(| to 1| to one)(| please)", "(Count|Please count) from <b> (down to|back to|to) (1|one)", "(Countdown|A countdown|Start a countdown|Do a countdown) from <b>(| to 1)", "(List|Write|Say) the numbers from <b> (down to|back to) 1", "(Count|Please count|Can you count) (down|backwards|backward)(,|:|;) (start|begin|starting|beginning) (with|at) (the number |)<b>(| please| and end at 1| and stop at 1)", "(Start|Begin) (at|with|from) <b> and (count|go) (down|backwards|backward)(| to 1| to one| please)"],
             "ko": ["<b>부터 1까지 (거꾸로 |) (세어 줘|세 줘|세어 봐|세어 주세요|말해 줘|써 줘)", "<b>부터 (거꾸로|역순으로) (세어 줘|세 줘|세어 봐|세어 주세요|말해 줘|숫자를 세어 줘|카운트다운해 줘)", "<b>에서 1까지 거꾸로 (세어 줘|세 줘|써 줘)", "거꾸로 <b>부터 (세어 줘|세 줘|세어 봐|1까지 세어 줘)", "<b>부터 카운트다운(해 줘| 해 줘| 부탁해|)"]},
}


def counting(c):
    kind = c.rng.choices(["up", "range", "down"], (45, 33, 22))[0]
    a, b = 1, c.rng.randint(3, 20) if c.rng.random() < 0.8 else c.rng.randint(21, 30)
    if kind == "range":
        a = c.rng.randint(2, 25)
        b = a + c.rng.randint(2, 10)
    numbers = range(b, 0, -1) if kind == "down" else range(a, b + 1)
    words = c.rng.random() < 0.2 and b <= 20
    x, y = (spoken(a, c.ask), spoken(b, c.ask)) if words else (a, b)
    text = ", ".join(map(str, numbers))
    return ask(c.rng, c.ask, COUNT[kind][c.ask], a=x, b=y), {"en": text, "ko": text}
