"""Names and invented words, so that copying is learnt instead of memorised."""

EN_FIRST = """Mina Anna Tom Alice Bob Emma Liam Noah Olivia Lucas Sophie Max Leo Eva Nora Paul Julia David Sarah Michael
Emily James Grace Henry Lily Oscar Ruby Jack Chloe Daniel Mia Ella Peter Laura Simon Clara Martin Helen George Alex Sam
Kate Ben Zoe Adam Lena Felix Hugo Ivy Jonas Karl Maria Nina Owen Rosa Theo Vera Will Yuna Minsu Jiho Sora Hana Jin
Haruto Yuki Ravi Priya Chen Wei Omar Leila Ivan Olga Pedro Lucia Marco Giulia Pierre Marie Hans Greta Erik Astrid Ali
Fatima Kofi Ama Diego Carmen Louis Elise Finn Maya Arthur Violet Charlie Rex Luna Bella Rocky Coco Milo Daisy""".split()
KO_FAMILY = "김 이 박 최 정 강 조 윤 장 임 한 오 서 신 권 황 안 송 류 홍".split()
KO_GIVEN = """민수 지호 서연 민준 하은 지우 도윤 서준 예준 하준 지민 수아 지유 채원 수빈 지훈 현우 민지 유진 은지 동현 준호
성민 영희 철수 미나 소라 하나 유나 다은 예은 시우 건우 우진 선우 연우 정우 승우 윤서 서윤 민서 하윤 지안 은우 태양 나라 가람 보라
슬기 아름 한별 새롬 다솜 초롱 두리 바다 하늘 별 봄 솔 준 진 현 민 수 영미 정훈 상민 재현 태희 혜진 경수 나은 도현 라희 마루 초코 보리
콩이 나비 뭉치 두부 몽이 루시 코코""".split()
ONSETS = "b c d f g h j k l m n p r s t v w z br cl dr fl gr kr pl st tr th sh ch".split()
VOWELS = "a e i o u a e i o ai ea oo ia".split()
CODAS = ["", "", "", "n", "r", "s", "l", "m", "k", "x", "nd", "th"]


def common_syllables() -> list[str]:
    """The 2,350 Hangul syllables of KS X 1001."""
    found = []
    for code in range(ord("가"), ord("힣") + 1):
        try:
            encoded = chr(code).encode("euc_kr")
        except UnicodeEncodeError:
            continue
        if len(encoded) == 2:
            found.append(chr(code))
    return found


SYLLABLES = common_syllables()


def nonsense(rng, lang):
    if lang == "ko":
        return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 3)))
    word = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(rng.randint(1, 2)))
    return word + rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS)


def name_for(rng, lang):
    roll = rng.random()
    if roll < 0.3:
        word = nonsense(rng, lang)
        return word.capitalize() if lang == "en" else word
    if lang == "en":
        return rng.choice(EN_FIRST)
    given = rng.choice(KO_GIVEN)
    return rng.choice(KO_FAMILY) + given if roll > 0.7 and len(given) == 2 else given
