"""Short stories, put together from parts."""

from say import ask, say

HEROES = [("a little cat", "작은 고양이"), ("a brave dog", "용감한 개"), ("a young fox", "어린 여우"), ("an old robot", "오래된 로봇"), ("a tiny dragon", "조그만 용"),
          ("a curious rabbit", "호기심 많은 토끼"), ("a quiet bear", "조용한 곰"), ("a small bird", "작은 새"), ("a kind tiger", "친절한 호랑이"), ("a little girl", "어린 소녀"),
          ("a boy", "소년"), ("a wise turtle", "지혜로운 거북이"), ("a sleepy owl", "졸린 부엉이"), ("a lonely whale", "외로운 고래"), ("a happy penguin", "행복한 펭귄"),
          ("a princess", "공주"), ("a wizard", "마법사"), ("a mouse", "생쥐"), ("an elephant", "코끼리"), ("a monkey", "원숭이"), ("a knight", "기사"), ("a lion", "사자"), ("a star", "별"), ("a tree", "나무")]
PLACES = [("in a deep forest", "깊은 숲속에"), ("by the sea", "바닷가에"), ("on a high mountain", "높은 산에"), ("in a quiet village", "조용한 마을에"), ("in a big city", "큰 도시에"),
          ("on a small island", "작은 섬에"), ("near a blue lake", "푸른 호숫가에"), ("in an old castle", "오래된 성에"), ("in a warm garden", "따뜻한 정원에"), ("on the moon", "달에")]
EVENTS = [("found a golden key", "황금 열쇠를 발견했어요"), ("saw a falling star", "별똥별을 보았어요"), ("heard a strange song", "이상한 노래를 들었어요"), ("met a lost child", "길 잃은 아이를 만났어요"),
          ("found an old map", "낡은 지도를 찾았어요"), ("got lost in the snow", "눈 속에서 길을 잃었어요"), ("saw a broken bridge", "부서진 다리를 보았어요"), ("found a tiny seed", "작은 씨앗을 주웠어요"),
          ("met a crying cloud", "울고 있는 구름을 만났어요"), ("lost a red shoe", "빨간 신발을 잃어버렸어요")]
ACTIONS = [("asked a friend for help", "친구에게 도움을 청했어요"), ("followed the light", "빛을 따라갔어요"), ("worked all night", "밤새 열심히 일했어요"), ("sang a gentle song", "다정한 노래를 불렀어요"),
           ("walked a long way", "먼 길을 걸었어요"), ("shared some warm bread", "따뜻한 빵을 나누었어요"), ("waited for the morning", "아침을 기다렸어요"), ("made a clever plan", "똑똑한 계획을 세웠어요")]
ENDINGS = [("In the end everyone was happy.", "마침내 모두가 행복해졌어요."), ("From that day on, they were friends.", "그날부터 둘은 친구가 되었어요."), ("At last the way home was clear.", "드디어 집으로 가는 길이 보였어요."),
           ("And the night was full of light.", "그리고 밤은 빛으로 가득했어요."), ("The next day the sun was shining again.", "다음 날 해가 다시 빛났어요."), ("It was a day to remember.", "잊지 못할 하루였어요.")]

QUESTIONS = {
    "en": ["(Tell|Tell me|Write|Write me|Give me|Make up|Invent|Create|Compose|Share|I want to hear|I'd like|I would like|Read me) (a|a short|a little|a nice|another|a new|one|a bedtime|a fairy|a cute|a small) (story|tale|short story|bedtime story|fairy tale|fable)(| please| for me| for children| for kids| now)", "(Can|Could|Would|Will) you (tell|tell me|write|write me|make up|invent|give me) (a|a short|another|a nice|a bedtime|a little) (story|tale|fairy tale|fable)(| please| for my child)?", "(Story|A story|Short story|Bedtime story|Story time|Another story|One more story)(|, please| please|!)", "(I am bored|I can't sleep|I'm bored|It's bedtime)(,|.) (tell me a story|a story please|tell a tale)", "(Do you know|Have you got) (a|any) (story|stories|tale|tales)?", "(Say|Write) (something|a text) (creative|imaginative|like a story|with a happy end)"],
    "ko": ["(이야기|짧은 이야기|동화|짧은 동화|옛날이야기|재미있는 이야기|소설|짧은 소설|잠자리 동화|새로운 이야기|다른 이야기|이야기 하나|동화 하나|재밌는 이야기|창작 이야기|우화) (해 줘|들려줘|들려 줘|써 줘|만들어 줘|해 주세요|들려주세요|써 주세요|말해 줘|하나 해 줘|하나 들려줘|하나 써 줘|좀 해 줘|하나만 해 줘|지어 줘|부탁해|하나 지어 줄래)", "(이야기|동화|짧은 이야기|옛날이야기)(를|을|) (듣고 싶어|듣고 싶어요|읽고 싶어|해 줄 수 있어|들려줄 수 있어|하나 해 줄래|써 줄 수 있나요|들려줄래)?", "(심심해|잠이 안 와|심심한데|자기 전에|아이를 위해) (이야기|동화|옛날이야기) (해 줘|들려줘|하나 해 줘|들려주세요|하나 부탁해)", "(다른|또|하나 더) (이야기|동화) (해 줘|들려줘|부탁해)", "(이야기|동화|옛날이야기)(|!|~|요)"],
}
ABOUT = {
    "en": ["(Tell|Tell me|Write|Write me|Give me|Make up|Invent|Create|I want) (a|a short|another|a little|a nice) (story|tale|fairy tale) (about|with|of|featuring|starring|on|where the hero is) <x>(| please)", "(Can|Could) you (tell me|write|make up) a (story|tale|short story) about <x>?", "(Story|A story|Short story) about <x>(| please)"],
    "ko": ["(<x>에 대한|<x>에 관한|<x:이> 나오는|<x:이> 주인공인) (이야기|동화|짧은 이야기|옛날이야기)(를|) (해 줘|들려줘|써 줘|만들어 줘|해 주세요|하나 해 줘|써 주세요|들려주세요)", "<x> (이야기|동화)(를|) (해 줘|들려줘|써 줘|만들어 줘|해 주세요|하나 들려줘|지어 줘)"],
}


def story(c):
    rng = c.rng
    hero, place, event, action, ending = (rng.choice(part) for part in (HEROES, PLACES, EVENTS, ACTIONS, ENDINGS))
    english = say(rng, "(Once upon a time|Long ago|One day), there was <h> <p>. (One morning|One evening|One night), it <e>. It <a>. <z>", h=hero[0], p=place[0], e=event[0], a=action[0], z=ending[0])
    korean = say(rng, "(옛날 옛적에|아주 먼 옛날|어느 날) <p> <h:이> 살았어요. (어느 아침|어느 저녁|어느 밤) <e> 그래서 <a> <z>", h=hero[1], p=place[1], e=event[1] + ".", a=action[1] + ".", z=ending[1])
    if rng.random() < 0.6:
        name = hero[0] if c.ask == "en" else hero[1]
        if rng.random() < 0.5:
            name = ("a " if c.ask == "en" else "") + name.split()[-1]
            name = name.replace("a elephant", "an elephant").replace("a owl", "an owl")
        question = ask(rng, c.ask, ABOUT[c.ask], x=name)
    else:
        question = ask(rng, c.ask, QUESTIONS[c.ask])
    return question, {"en": english, "ko": korean}
