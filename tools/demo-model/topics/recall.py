"""Facts that the user tells and asks for later."""

from say import ask, say
from topics.names import name_for, nonsense

# kind: how to tell it, how to ask for it, how to answer; per language
FACTS = {
    "name": {
        "tell": {"en": ["My name is <v>", "(My name is|I am|I'm|It's|This is) <v>( and|,|.) (I am new here|I am a student|nice to meet you|I need help|I like music|I have a question|happy to be here|good day|pleased to meet you|how are you|I want to try this)", "(Good day|Hello there|Hi there|Good morning|Hey there|Greetings)(,|!|.) (my name is|I'm|I am|people call me|you can call me|call me|they call me) <v>", "(You may|You can|Just|Feel free to|Please) call me <v>(|.| please)", "<v> here", "I am <v>", "I'm <v>", "(Please |You can |)call me <v>", "My name's <v>(|, nice to meet you|. And you?)", "(Hi|Hello|Hey)(,|!) (I'm|I am|my name is) <v>(|.|!)", "This is <v>(| speaking)", "They call me <v>", "(Remember|Note) (that |)my name is <v>", "(Actually|No|Sorry), my name is <v>", "The name is <v>", "<v> is my name", "People call me <v>"],
                 "ko": ["(내|제|나의) 이름은 <v:이야>", "(저는|나는|제 이름은|내 이름은) <v:이고> (처음 왔어요|학생이에요|음악을 좋아해요|여기 처음이야|궁금한 게 많아)", "(저는|제 이름은|나는|내 이름은) <v:이라고> (합니다|해요|해)(.|!|,) (잘 부탁드려요|반가워요|반가워|처음 뵙겠습니다|만나서 반가워)", "(나는|저는|난) <v:이야>(.|!|,) (반가워|안녕|잘 부탁해|처음 왔어)", "(앞으로|이제부터|그냥|편하게) (나를|저를|날|) <v:이라고> (불러 줘|불러|불러 주세요|부르면 돼)", "(내|제|저의) 이름은 <v:이에요>", "(내|제) 이름은 <v>입니다", "(나는|난|나) <v:이야>", "(저는|전) <v:이에요>", "(저는|안녕하세요, 저는|안녕하세요. 저는|반갑습니다. 저는) <v>입니다", "(나를|나|저를|날) <v:이라고> (불러 줘|불러|불러 주세요|불러줘)", "(저는|나는|난) <v:이라고> (해|해요|합니다|불려요)", "(안녕|안녕!|안녕,) (나는|난|내 이름은) <v:이야>", "이름은 <v:이에요>", "내 이름은 <v>", "(사실|아니,|참,) 내 이름은 <v:이야>", "<v:이> 내 이름이야"]},
        "get": {"en": ["What('s| is|s) my name(| again)?", "Who am I?", "(Do you|Can you|Could you) (remember|know|recall|tell me|say|still know) (my name|who I am|what my name is|what I am called)?", "(Tell|Remind) me (my name|what my name is|who I am|of my name)", "(What|How) did I say my name (is|was)?", "Say my name", "What (am I called|do people call me|should you call me|is my name, do you remember)?", "(Have you forgotten|Did you forget|You forgot) my name?", "What name did I (give|tell) you?", "My name(?| is?| was?)"],
                "ko": ["(내|제|나의) 이름(이|은|) (뭐야|뭐였지|뭐라고 했지|뭐게|뭐예요|무엇인가요|뭐라고 했어|뭔지 기억해|기억해|기억나|기억나요|기억하니|기억하고 있어|알아|뭐였어|뭐였죠|말해 줘|뭐더라|뭐였더라|알고 있어)?", "(내가|제가|나는|난|나) (누구야|누구게|누구지|누구라고 했지|누구인지 알아|누구인지 기억해|누구예요|누구죠)?", "(내|제) 이름(을|) (말해 줘|말해 봐|불러 줘|맞혀 봐|알려 줘|기억해 줘|기억하나요|기억하세요|말해 주세요|잊었어|알고 있나요)?", "(나를|날|저를) (뭐라고|어떻게) (불러야|부르면|부르기로) (해|돼|했지|하나요)?", "이름이 뭐라고 했(지|죠|더라)?"]},
        "ack": {"en": ["Nice to meet you, <v>!"], "ko": ["만나서 반가워요, <v> 님!"]},
        "say": {"en": "Your name is <v>.", "ko": "당신의 이름은 <v:이에요>."},
    },
    "colour": {
        "tell": {"en": ["My favou?rite (colour|color) (is|is|has always been|happens to be|would be|must be) <v>(|, by the way|, you know|, remember that)", "I (like|love|prefer) the (colour|color) <v>(| most| best)", "<v> is my favou?rite (colour|color)", "The (colour|color) I (like|love) (most|best) is <v>", "(Remember|Note)(| that| this)(:|) my favou?rite color is <v>"],
                 "ko": ["(내가|제가) (가장|제일|) 좋아하는 (색|색깔|색은|색깔은)(은|) <v:이야>", "(내가|제가) (가장|제일) 좋아하는 색(은|깔은) <v:이에요>", "(나는|저는|난) <v:을> (가장|제일) (좋아해|좋아해요), 색 중에서", "좋아하는 색은 <v:이에요>", "(나는|저는) <v> 색을 (좋아해|좋아해요)"]},
        "get": {"en": ["(What is|What's|Which is|Tell me|Do you remember|Do you know|Say|Remind me of) my favou?rite (colour|color)(| again)?", "(What|Which) (colour|color) (do I like|do I love|is my favourite|did I say I like|do I like most|do I prefer)?"],
                "ko": ["(내가|제가) (가장 |제일 |) 좋아하는 (색|색깔)(은|이|은 뭐라고 했지|) (뭐야|뭐였지|뭐예요|뭐라고 했지|기억해|기억나|무엇인가요|뭔지 알아|말해 줘)?", "(나는|난|내가) (무슨|어떤) (색|색깔)(을|이라고|) (좋아해|좋아한다고 했지|좋아했지|좋아하지|좋아한다고 했어|좋아하게)?"]},
        "ack": {"en": ["Got it! Your favourite colour is <v>."], "ko": ["알겠어요! 가장 좋아하는 색은 <v:이에요>."]},
        "say": {"en": "Your favourite colour is <v>.", "ko": "가장 좋아하는 색은 <v:이에요>."},
    },
    "food": {
        "tell": {"en": ["My favou?rite (food|dish|meal) (is|is|has always been|happens to be|would be) <v>(|, by the way|, you know)", "I (really|just|simply) (love|like|enjoy) eating <v>(| most| the most)", "I (like|love) (eating|to eat) <v>(| most| best)", "The food I (like|love) (most|best) is <v>", "<v> is my favou?rite (food|dish)", "(Remember|Note) that my favourite food is <v>"],
                 "ko": ["(내가|제가) (가장|제일) 좋아하는 (음식|요리)은 <v:이야>", "(내가|제가) (가장|제일|) 좋아하는 음식은 <v:이에요>", "(나는|저는|난) <v:을> (제일|가장|) (즐겨|) 먹는 걸 (좋아해|좋아해요)", "좋아하는 음식은 <v:이에요>", "(나는|저는) 음식 중에 <v:을> 가장 (좋아해|좋아해요)"]},
        "get": {"en": ["(What is|What's|Which is|Tell me|Do you remember|Do you know|Say|Remind me of) my favou?rite (food|dish|meal)(| again)?", "(What|Which) (food|dish|meal) (do I like|do I love|is my favourite|did I say I like|do I like most)?", "What do I (like|love) (to eat|eating)(| most)?"],
                "ko": ["(내가|제가) (가장 |제일 |) 좋아하는 (음식|요리)(은|이|) (뭐야|뭐였지|뭐예요|뭐라고 했지|기억해|기억나|무엇인가요|뭔지 알아|말해 줘)?", "(나는|난|내가) (무슨|어떤) 음식(을|) (좋아해|좋아한다고 했지|좋아했지|좋아하지|좋아한다고 했어)?", "(내가|나는) (뭘|무엇을) 먹는 걸 (좋아한다고 했지|좋아해|좋아하지)?"]},
        "ack": {"en": ["Yum! Your favourite food is <v>."], "ko": ["맛있겠네요! 가장 좋아하는 음식은 <v:이에요>."]},
        "say": {"en": "Your favourite food is <v>.", "ko": "가장 좋아하는 음식은 <v:이에요>."},
    },
    "animal": {
        "tell": {"en": ["My favou?rite animal is (the |a ||)<v>", "The animal I (like|love) (most|best) is the <v>", "I (like|love) the <v> most of all animals", "(Remember|Note) that my favourite animal is the <v>", "Of all animals I like the <v> best"],
                 "ko": ["(내가|제가) (가장|제일) 좋아하는 동물은 <v:이야>", "(내가|제가) (가장|제일|) 좋아하는 동물은 <v:이에요>", "좋아하는 동물은 <v:이에요>", "(나는|저는|난) 동물 중에(|서) <v:을> (가장|제일) (좋아해|좋아해요)"]},
        "get": {"en": ["(What is|What's|Which is|Tell me|Do you remember|Do you know|Say|Remind me of) my favou?rite animal(| again)?", "(What|Which) animal (do I like|do I love|is my favourite|did I say I like|do I like most)?"],
                "ko": ["(내가|제가) (가장 |제일 |) 좋아하는 동물(은|이|) (뭐야|뭐였지|뭐예요|뭐라고 했지|기억해|기억나|무엇인가요|뭔지 알아|말해 줘)?", "(나는|난|내가) (무슨|어떤) 동물(을|) (좋아해|좋아한다고 했지|좋아했지|좋아하지|좋아한다고 했어)?"]},
        "ack": {"en": ["Nice! Your favourite animal is the <v>."], "ko": ["멋져요! 가장 좋아하는 동물은 <v:이에요>."]},
        "say": {"en": "Your favourite animal is the <v>.", "ko": "가장 좋아하는 동물은 <v:이에요>."},
    },
    "home": {
        "tell": {"en": ["I live in <v>", "(I live|I'm living|I am living|I stay|I have lived) in <v> (these days|at the moment|now|right now|currently|since last year)", "My (home|house|flat) is in <v>", "I (come from|am from) <v>", "I'm from <v>", "My (home|city|home town|hometown) is <v>", "I (am living|have lived) in <v>(| for years)", "(Remember|Note) that I live in <v>", "<v> is where I live"],
                 "ko": ["(나는|저는|난|전) <v>에 (살아|살아요|삽니다|살고 있어|살고 있어요)", "<v>에 (살고 있어|살아|살아요|삽니다)", "(내|제) 집은 <v>에 (있어|있어요)", "(우리 집은|우리 동네는|제가 사는 곳은|내가 사는 곳은|내가 사는 도시는) <v:이야>", "(저는|나는) <v>에서 (왔어|왔어요|살아요)"]},
        "get": {"en": ["Where do I live(| again)?", "(Do you (remember|know)|Tell me|Can you say|Remind me) where I (live|am from|come from)?", "(In what|In which|What|Which) (city|town|place) do I live(| in)?", "Where am I (from|living)?", "Where did I say I live?", "What is my (home|city|home town|hometown)?"],
                "ko": ["(내가|제가|나는|저는|난|나) 어디(에|에 산다고|에서|) (살아|살지|사는지 기억해|사는지 알아|살게|산다고 했지|살고 있지|사나요|살죠|사는지 기억나)?", "(내가|제가) 사는 (곳|도시|데)(은|이|는|가) (어디야|어디였지|어디라고 했지|어디예요|어디인가요|어디게)?", "(우리 집|내 집)(은|이) 어디(야|에 있어|였지|라고 했지)?", "내가 어디 산다고 했(지|더라|어)?"]},
        "ack": {"en": ["I see, you live in <v>."], "ko": ["그렇군요, <v>에 사시는군요."]},
        "say": {"en": "You live in <v>.", "ko": "<v>에 살고 있어요."},
    },
    "number": {
        "tell": {"en": ["My (favourite|favorite|lucky|secret) number is <v>", "(Remember|Keep in mind|Note|Memorise|Please remember|Save) the number <v>", "The (secret |magic ||)number is <v>", "(Remember|Note) this number: <v>", "I (think of|am thinking of) the number <v>", "<v> is my (lucky|favourite|secret) number"],
                 "ko": ["(내|제) (행운의|비밀|) (숫자|번호)는 <v:이야>", "(내가|제가) (가장|제일|) 좋아하는 숫자는 <v:이에요>", "(숫자|번호) <v:을> (기억해 줘|기억해|기억해 주세요|외워 줘|기억해 둬)", "<v:이라는> 숫자를 (기억해 줘|기억해|기억해 주세요)", "비밀 번호는 <v:이야>", "<v:을> 기억해 (줘|주세요)"]},
        "get": {"en": ["(What is|What's|What was|Which is|Tell me|Do you remember|Do you know|Say) (my|the) (number|lucky number|favourite number|favorite number|secret number)(| again)?", "(What|Which) number (did I say|did I tell you|did I give you|did I ask you to remember|should you remember|is it|was it|do I like|did I mention)?"],
                "ko": ["(내가|제가) (말한|기억하라고 한|좋아하는|알려 준|외우라고 한|좋아한다고 한) (숫자|번호)(는|가|) (뭐야|뭐였지|뭐예요|뭐라고 했지|기억해|기억나|무엇인가요|말해 줘)?", "(내|제) (행운의 숫자|숫자|번호|비밀 번호|비밀 숫자)(는|가|) (뭐야|뭐였지|뭐라고 했지|기억해|뭐예요|기억나)?", "(그|아까 그|아까) (숫자|번호)(는|가|) (뭐야|뭐였지|뭐였어|기억나|말해 줘|뭐라고 했지)?"]},
        "ack": {"en": ["OK, I will remember the number <v>."], "ko": ["네, 숫자 <v:을> 기억할게요."]},
        "say": {"en": "The number is <v>.", "ko": "그 숫자는 <v:이에요>."},
    },
    "pet": {
        "tell": {"en": ["My (dog|cat|pet|rabbit|hamster|parrot)(| is called| is named|'s name is) <v>", "I have a (dog|cat|pet|rabbit|hamster) (named|called) <v>", "The name of my (pet|dog|cat) is <v>"],
                 "ko": ["(내|우리|제) (강아지|고양이|반려동물|개|토끼|햄스터) 이름은 <v:이야>", "(우리|제) (강아지|고양이|반려동물|개|토끼)(의|) 이름은 <v:이에요>", "<v:이라는> (강아지|고양이|개|토끼)(를|을|랑) 키(워|우고 있어|워요)", "(강아지|고양이|반려동물) 이름은 <v:이야>"]},
        "get": {"en": ["What('s| is) my (pet|dog|cat|pet's|dog's|cat's|rabbit's|hamster's) (name|called)?", "(What is|Tell me|Do you remember|Do you know|Say) (the name of my (pet|dog|cat|rabbit|hamster)|my (pet's|dog's|cat's) name)?", "How is my (pet|dog|cat|rabbit) called?", "What do I call my (pet|dog|cat)?"],
                "ko": ["(내|우리|제) (강아지|고양이|반려동물|개|토끼|햄스터)(의|) 이름(이|은|) (뭐야|뭐였지|뭐예요|뭐라고 했지|기억해|기억나|무엇인가요|말해 줘|알아)?", "(강아지|고양이|반려동물|개) 이름(이|은|) (뭐야|뭐였지|뭐라고 했지|기억나|기억해)?"]},
        "ack": {"en": ["What a nice name! I will remember <v>."], "ko": ["멋진 이름이네요! <v:을> 기억할게요."]},
        "say": {"en": "Your pet's name is <v>.", "ko": "반려동물의 이름은 <v:이에요>."},
    },
    "age": {
        "tell": {"en": ["I am <v> years old", "I'm <v>(| years old)", "My age is <v>", "I (turned|just turned) <v>(| today| this year)", "I am <v> now"],
                 "ko": ["(나는|저는|난|나) <v>살(이야|이에요|입니다)", "(내|제) 나이는 <v:이야>", "(내|제) 나이는 <v>살이에요", "올해 <v>살(이야|이에요|이 됐어)", "(저는|나) <v>세(예요|입니다|야)"]},
        "get": {"en": ["How old am I(| again)?", "What('s| is) my age?", "(Do you (remember|know)|Tell me|Say|Remind me) (how old I am|my age)?", "What age (am I|did I say)?"],
                "ko": ["(내가|제가|나는|나|저는|난) 몇 살(이야|이지|이라고 했지|이게|이에요|인지 기억해|인지 알아|이죠|이더라)?", "(내|제) 나이(가|는|) (몇이야|얼마야|뭐였지|기억해|몇이지|어떻게 되지|몇이라고 했지|몇 살이지)?"]},
        "ack": {"en": ["Good to know! You are <v> years old."], "ko": ["그렇군요! <v>살이시군요."]},
        "say": {"en": "You are <v> years old.", "ko": "<v>살이에요."},
    },
    "job": {
        "tell": {"en": ["I (work as|am) an? <v>", "My (job|profession|occupation) is <v>", "I('m| am) an? <v>(| by profession)", "I work as an? <v>"],
                 "ko": ["(내|제) 직업은 <v:이야>", "(내|제) 직업은 <v:이에요>", "(나는|저는) <v:으로> (일해|일해요|일하고 있어요|일합니다)", "직업은 <v>입니다"]},
        "get": {"en": ["What('s| is) my (job|profession|occupation|work)?", "(Do you (remember|know)|Tell me|Say) (my job|what my job is|what I do for a living|my profession)?", "What do I (do for a living|work as|do)?", "Where do I work, I mean what is my job?"],
                "ko": ["(내|제) 직업(이|은|) (뭐야|뭐였지|뭐예요|뭐라고 했지|기억해|기억나|무엇인가요|알아|말해 줘)?", "(내가|제가|나는) (무슨|어떤) 일을 (해|한다고 했지|하지|하는지 알아|하는지 기억해|하게)?"]},
        "ack": {"en": ["That sounds interesting! Your job is <v>."], "ko": ["멋진 일이네요! 직업은 <v:이에요>."]},
        "say": {"en": "Your job is <v>.", "ko": "당신의 직업은 <v:이에요>."},
    },
}

UNTOLD = {"en": "You have not told me that yet.", "ko": "아직 말해 주지 않으셨어요."}

VALUES = {
    "colour": (["red", "blue", "green", "yellow", "orange", "purple", "white", "black", "pink", "brown", "grey", "turquoise", "gold", "silver", "navy", "violet", "mint", "beige", "light blue", "dark green", "indigo", "crimson", "teal"],
               ["빨강", "파랑", "초록", "노랑", "주황", "보라", "하양", "검정", "분홍", "갈색", "회색", "하늘색", "남색", "빨간색", "파란색", "초록색", "노란색", "보라색", "흰색", "검은색", "연두색", "금색", "은색", "민트색", "분홍색", "주황색"]),
    "food": (["pizza", "pasta", "kimchi", "bibimbap", "sushi", "bread", "rice", "soup", "chocolate", "ramen", "curry", "steak", "salad", "tacos", "noodles", "cheese", "dumplings", "ice cream", "pancakes", "bulgogi", "fried chicken", "tteokbokki", "sandwiches", "fish", "burgers", "strawberries"],
             ["피자", "파스타", "김치", "비빔밥", "초밥", "빵", "국수", "떡볶이", "불고기", "라면", "카레", "치킨", "김밥", "냉면", "삼겹살", "갈비", "만두", "스테이크", "샐러드", "된장찌개", "김치찌개", "햄버거", "순두부찌개", "아이스크림", "짜장면", "짬뽕", "딸기", "수박"]),
    "animal": (["dog", "cat", "tiger", "rabbit", "horse", "elephant", "lion", "monkey", "bear", "fox", "penguin", "dolphin", "owl", "panda", "wolf", "koala", "eagle", "whale", "giraffe", "hamster", "otter", "sheep", "turtle", "deer"],
               ["개", "고양이", "호랑이", "토끼", "말", "코끼리", "사자", "원숭이", "곰", "여우", "펭귄", "돌고래", "부엉이", "판다", "늑대", "코알라", "독수리", "고래", "기린", "햄스터", "수달", "양", "거북이", "사슴", "강아지", "다람쥐"]),
    "home": (["Seoul", "Busan", "Paris", "London", "New York", "Berlin", "Tokyo", "Rome", "Daegu", "Incheon", "Boston", "Madrid", "Sydney", "Toronto", "Jeju", "Vienna", "Chicago", "Oslo", "Lisbon", "Mumbai", "Dublin", "a small village", "Kyoto", "San Francisco", "Gwangju", "Hamburg"],
             ["서울", "부산", "대구", "인천", "광주", "대전", "울산", "제주도", "수원", "강릉", "춘천", "전주", "여수", "파리", "런던", "뉴욕", "도쿄", "베를린", "경주", "포항", "창원", "청주", "성남", "용인", "속초", "목포", "판교", "강남"]),
    "job": (["teacher", "doctor", "engineer", "nurse", "cook", "student", "writer", "painter", "singer", "lawyer", "farmer", "driver", "pilot", "designer", "programmer", "scientist", "baker", "dentist", "musician", "firefighter"],
            ["교사", "의사", "엔지니어", "간호사", "요리사", "학생", "작가", "화가", "가수", "변호사", "농부", "운전사", "조종사", "디자이너", "개발자", "과학자", "제빵사", "선생님", "음악가", "소방관", "경찰관", "회사원"]),
}


def value_for(c, kind, lang):
    """A value of this kind; sometimes an invented word, so that copying is learnt."""
    rng = c.rng
    if kind in ("name", "pet"):
        return name_for(rng, lang)
    if kind == "number":
        return str(rng.randint(0, rng.choice([9, 99, 999, 9999])))
    if kind == "age":
        return str(rng.randint(5, 99))
    if rng.random() < 0.3:
        return nonsense(rng, lang)
    word = rng.choice(VALUES[kind][lang == "ko"])
    return word.title() if lang == "en" and rng.random() < 0.08 else word


def spelled(templates):
    """favou?rite in one of its two spellings, a or an left to the writer."""
    return [t.replace("favou?rite", "(favourite|favorite)").replace("an? ", "(a|an) ") for t in templates]


def tell(c):
    kind = c.rng.choices(list(FACTS), (34, 10, 8, 8, 12, 10, 6, 7, 5))[0]
    value = value_for(c, kind, c.ask)
    if kind == "name" and c.ask == "en" and c.rng.random() < 0.15:
        value = value.lower()
    c.facts[kind] = value
    c.fresh = kind
    question = ask(c.rng, c.ask, spelled(FACTS[kind]["tell"][c.ask]), bare=c.rng.random() < 0.7, varied=False, v=value)
    return question, {lang: say(c.rng, FACTS[kind]["ack"][lang], v=value) for lang in ("en", "ko")}


def recall(c):
    known = [k for k in FACTS if k in c.facts]
    kind = c.rng.choice(known) if known and c.rng.random() < 0.93 else c.rng.choice(list(FACTS))
    question = ask(c.rng, c.ask, spelled(FACTS[kind]["get"][c.ask]))
    if kind not in c.facts:
        return question, UNTOLD
    return question, {lang: say(c.rng, FACTS[kind]["say"][lang], v=c.facts[kind]) for lang in ("en", "ko")}
