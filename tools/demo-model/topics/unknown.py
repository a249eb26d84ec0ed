"""Questions outside the field, and the honest answer to them."""

from say import ask
from topics.names import name_for, nonsense

ANSWERS = {
    "en": ["I am a tiny demo model, so I do not know that. Ask me about Maru, EXAONE or text generation.",
           "Sorry, that is beyond a tiny demo model like me. A real EXAONE model could help you."],
    "ko": ["저는 아주 작은 데모 모델이라 그건 몰라요. 마루, EXAONE, 텍스트 생성에 대해 물어보세요.",
           "죄송해요, 저 같은 작은 데모 모델에게는 어려운 질문이에요. 실제 EXAONE 모델이라면 도와줄 수 있어요."],
}

NOUNS = {
    "en": """quantum physics;black holes;the French Revolution;World War II;photosynthesis;blockchain;bitcoin;the stock market;football;baseball rules;chess openings;yoga;
        gravity;electricity;volcanoes;dinosaurs;the Roman Empire;Shakespeare;Mozart;Beethoven;Einstein;Napoleon;King Sejong;the moon landing;climate change;the weather;inflation;taxes;insurance;
        mortgages;recipes;pasta carbonara;kimchi stew;coffee beans;wine;gardening;car engines;bicycles;airplanes;trains;smartphones;laptops;operating systems;Linux;databases;SQL;HTML;CSS;React;
        compilers;cryptography;networks;the internet;robots;space travel;Mars;the sun;rainbows;oceans;whales;bees;viruses;vaccines;headaches;diabetes;sleep;dreams;psychology;philosophy;Plato;
        democracy;elections;the president;the constitution;human rights;the European Union;NATO;the Olympics;the World Cup;K-pop;BTS;movies;Star Wars;Harry Potter;anime;painting;Picasso;architecture;
        marriage;friendship;love;happiness;money;jobs;interviews;school;homework;university;exams;vacations;hotels;flights;visas;shopping;fashion;shoes;perfume;hair;dogs' diseases;cat food;DNA;atoms;
        chemistry;calculus;geometry;prime numbers;statistics;probability theory;economics;marketing;startups;management;law;contracts;history;archaeology;music theory;guitar chords;dance;poetry;grammar""".replace("\n", "").split(";"),
    "ko": """양자 역학;블랙홀;프랑스 혁명;제2차 세계 대전;광합성;블록체인;비트코인;주식 시장;축구 규칙;야구;체스;요가;중력;전기;화산;공룡;로마 제국;셰익스피어;모차르트;베토벤;아인슈타인;나폴레옹;세종대왕;이순신;달 착륙;기후 변화;
        날씨;물가;세금;보험;대출;요리법;카르보나라;김치찌개 끓이는 법;원두;와인;정원 가꾸기;자동차 엔진;자전거;비행기;기차;스마트폰;노트북;운영체제;리눅스;데이터베이스;SQL;HTML;리액트;컴파일러;암호학;네트워크;인터넷;로봇;우주여행;화성 탐사;태양;무지개;
        바다;고래;꿀벌;바이러스;백신;두통;당뇨병;잠;꿈 해몽;심리학;철학;플라톤;민주주의;선거;대통령;헌법;인권;유럽 연합;올림픽;월드컵;케이팝;방탄소년단;영화;스타워즈;해리 포터;애니메이션;그림;피카소;건축;결혼;우정;사랑;행복;돈 버는 법;취업;면접;학교;숙제;
        대학교;시험 공부;휴가;호텔;항공권;비자;쇼핑;패션;신발;향수;머리 스타일;강아지 병;고양이 사료;유전자;원자;화학;미적분;기하학;소수;통계학;확률론;경제;마케팅;창업;경영;법률;계약서;역사;고고학;음악 이론;기타 코드;춤;시;문법;조선 시대;임진왜란;한글날""".replace("\n", "").split(";"),
}
NOUNS = {lang: [n.strip() for n in nouns] for lang, nouns in NOUNS.items()}

ABOUT = {
    "en": ["What (is|are) <x>?", "(Explain|Describe|Define) <x>(| to me| please| simply)", "(Tell me|Talk|Say something|Teach me) (about|something about|more about) <x>", "How (does|do) <x> work?", "Why (is|are) <x> (important|interesting|so popular|dangerous|useful)?", "(What do you know|What do you think|Do you know anything|Can you tell me) about <x>?", "(Who|When) (invented|discovered|started) <x>?", "(What is|Tell me) the history of <x>(|?)", "Write (an essay|a poem|an article|a report|a song|code) about <x>", "(Give me|I need) (advice|information|tips|facts) (on|about) <x>", "(Do you like|Are you interested in|Have you heard of) <x>?", "How can I (learn|study|improve|understand) <x>?", "Which <x> (is|are) (the best|best|cheapest)?", "I have a question about <x>", "Can you help me with <x>?", "How much does <x> cost?", "Where can I (find|buy|see) <x>?"],
    "ko": ["<x:이> (뭐야|뭐예요|무엇인가요|뭔가요|뭐지)?", "<x:은> (뭐야|어떻게 해|어떻게 작동해|왜 중요해|얼마야|누가 만들었어|언제 시작됐어|어디서 사|어떻게 생각해|재미있어)?", "<x>에 (대해|대해서|관해) (알려 줘|설명해 줘|말해 줘|알려 주세요|알고 싶어|어떻게 생각해|써 줘|글을 써 줘|시를 써 줘)", "<x:을> (설명해 줘|알려 줘|추천해 줘|가르쳐 줘|도와줘|배우고 싶어|좋아해|설명해 주세요|하려면 어떻게 해|잘하려면 어떻게 해)", "<x:이란>(| 무엇인가요| 뭐야)?", "<x> (알아|알려 줘|추천해 줘|뭐가 좋아|설명 좀|정보|좀 도와줘|방법 알려 줘)?", "<x>의 (역사|장점|단점|원리|가격|의미)(를|는|) (알려 줘|뭐야|설명해 줘)"],
}
WHOLE = {
    "en": ["(What is|How is|What's|Tell me) the weather (like |)(today|tomorrow|now|in Seoul|in London|this weekend)?", "Will it (rain|snow) (today|tomorrow|this week)?", "What (time|day|date) is it(| now| today)?", "(What is|Tell me) (the time|today's date|the news|the latest news|the current time)(|?)", "(Who|What) won the (game|match|election|World Cup|Olympics)(| yesterday| last year| in 2022)?", "(Translate|Please translate|Can you translate) (this|this sentence|my letter|hello|good morning|the text) (into|to) (French|Spanish|Japanese|Korean|English|Chinese)", "(Write|Give me|Create|Show me) (a|some|the) (Python|Java|JavaScript|C|Rust) (code|program|function|script)(| that sorts a list| for a game| to read a file)", "How do I (cook|bake|fix|build|repair|clean|install|draw|make) (rice|a cake|my car|a house|my phone|a table|Windows|a website|bread|a chair|my bike|pancakes)?", "(Where|What) (can|should) I (eat|go|buy|visit|watch|read|wear)(| today| tonight| tomorrow| this weekend)?", "(Recommend|Suggest) (me |)(a|some|a good) (movie|book|restaurant|song|game|hotel|film|movies)(| please)", "(How tall|How old|How rich|How heavy) is (the Eiffel Tower|Mount Everest|the president|my dog|the moon)?", "How (far|long) is (it to the moon|the Nile|the Han River|a marathon)?", "(Who is|Who was) the (president|king|prime minister|queen|CEO|inventor|author) of (Korea|France|the USA|England|Apple|the telephone|Hamlet)?", "(Summarize|Summarise|Correct|Rewrite|Proofread|Check|Improve) (this text|my essay|this article|my email|the following|this paragraph)", "(My computer|My phone|My car|The printer|My wifi) (is broken|does not work|is slow|crashed)(|. What should I do?|, help)", "(Should|Can) I (invest in stocks|buy a house|quit my job|drink coffee at night|take aspirin|marry him)?", "(Play|Sing|Open|Call|Turn on|Buy|Order|Book) (some music|a song|the door|my mother|the light|a pizza|a ticket|a table|a flight)(| please)", "(What is|What's) the (meaning of life|best phone|population of Korea|highest mountain|largest ocean|speed of light|square root of two|boiling point of water|price of gold)?", "(Who is|Do you know|Who was) <n>?", "What is <w>?", "(Tell me about|Explain|What does) <w>(| mean)?", "<w>", "<w> <w>", "<w> <w> <w>?", "asdf", "blah blah blah", "What is the capital of <w>?", "the capital of <w>"],
    "ko": ["(오늘|내일|지금|이번 주|서울|주말|부산) 날씨(는|가|) (어때|어떄요|어떤가요|알려 줘|좋아|추워)?", "(오늘|내일) (비|눈)(가|이|) (와|올까|오나요|내려)?", "(지금|현재) (몇 시야|몇 시예요|시간 알려 줘|몇 시인가요)?", "오늘(은|이|) (며칠이야|무슨 요일이야|몇 월 며칠이야|무슨 날이야)?", "(최신|오늘의|오늘) (뉴스|소식|주가|환율) (알려 줘|말해 줘|보여 줘|뭐야)", "(이 문장|이 글|내 편지|이것)을 (영어로|한국어로|일본어로|프랑스어로|중국어로) 번역해 (줘|주세요)", "(파이썬|자바|러스트|자바스크립트) (코드|프로그램|함수)(를|) (써 줘|짜 줘|만들어 줘|작성해 줘)", "(밥|케이크|라면|김치찌개|빵|불고기)(은|는|을|를|) 어떻게 (만들어|끓여|요리해|구워|만드나요)?", "(자동차|컴퓨터|휴대폰|자전거|프린터)(가|이|) (고장 났어|안 돼|느려|멈췄어|안 켜져)(|. 어떻게 해?)", "(오늘|오늘 저녁|점심|저녁|주말에)(은|에|) (뭐 먹을까|뭐 먹지|뭐 할까|어디 갈까|뭐 볼까|뭐 입을까)?", "(영화|책|맛집|노래|게임|식당|여행지|드라마|호텔) (추천해 줘|추천해 주세요|추천|하나 추천해 줘|추천 좀|알려 줘)", "(에펠탑|에베레스트산|한라산|백두산|남산타워)(은|는|이|) (얼마나 높아|높이가 얼마야|몇 미터야|어디에 있어)?", "(한국|미국|프랑스|영국)(의|) (대통령|왕|총리|인구|면적|국가)(은|는|이|가|) (누구야|얼마야|뭐야|누구예요|몇 명이야)?", "(이 글|내 글|이 문장|이메일|보고서)(을|를|) (요약해 줘|고쳐 줘|다듬어 줘|검토해 줘|써 줘|교정해 줘)", "(주식|집|복권|비트코인)(을|를|) (살까|사도 돼|사야 할까|어떻게 사)?", "(음악|노래|불|문|전화)(을|를|) (틀어 줘|불러 줘|켜 줘|열어 줘|걸어 줘)", "(인생의 의미|가장 높은 산|가장 큰 바다|빛의 속도|금값|물의 끓는점|세계 인구|한국의 인구)(은|는|가|이|) (뭐야|얼마야|무엇인가요|어디야)?", "(누가|어느 팀이) (이겼어|우승했어|1등 했어)?", "<n:이> 누구야?", "<n> (알아|누군지 알아)?", "<w:이> 뭐야?", "<w:은> (뭐야|무슨 뜻이야)?", "<w>에 대해 (알려 줘|설명해 줘)", "<w>", "<w> <w>", "ㅁㄴㅇㄹ", "아무 말", "어쩌고저쩌고", "<w>의 수도는?", "<w> 수도가 어디야?", "(머리가|배가|허리가|이가) 아파(|. 어떻게 해?|. 무슨 약을 먹어?)", "(연애|취업|공부|다이어트) (상담해 줘|조언해 줘|방법 알려 줘|어떻게 해?)"],
}


THINGS = {
    "en": "tap;roof;bicycle;window;door;printer;phone;laptop;washing machine;toilet;lamp;chair;fence;engine;watch;camera;radio;fridge;oven;garden;cake;bread;soup;pizza;omelette;salad;letter;resume;website;game;app;shelf;kite;paper plane;sweater;tent;fire;tie;cocktail;egg;guitar;piano;car;boat;tomato plant;budget;wedding;party;trip;speech".split(";"),
    "ko": "수도꼭지;지붕;자전거;창문;문;프린터;휴대폰;노트북;세탁기;변기;전등;의자;울타리;엔진;시계;카메라;라디오;냉장고;오븐;정원;케이크;빵;수프;피자;오믈렛;샐러드;편지;이력서;웹사이트;게임;앱;선반;연;종이비행기;스웨터;텐트;넥타이;칵테일;계란;기타;자동차;배;예산;결혼식;파티;여행;연설;보일러;에어컨".split(";"),
}
WORKS = {
    "en": "the Mona Lisa;Hamlet;the Bible;the telephone;the light bulb;Romeo and Juliet;the Iliad;the radio;Titanic;Parasite;Yesterday;the Starry Night;penicillin;America;the airplane;the steam engine;Don Quixote;Les Miserables;the Odyssey;Windows;Facebook;the pyramids;the Great Wall;the wheel;Guernica".split(";"),
    "ko": "모나리자;햄릿;성경;전화기;전구;로미오와 줄리엣;일리아드;라디오;타이타닉;기생충;별이 빛나는 밤;페니실린;아메리카 대륙;비행기;증기 기관;돈키호테;레미제라블;훈민정음;측우기;거북선;페이스북;피라미드;만리장성;홍길동전;춘향전;삼국사기".split(";"),
}
TASKS = {
    "en": ["(How do I|How can I|How should one|What is the best way to|Can you teach me to|Tell me how to) (fix|repair|clean|build|make|cook|buy|sell|paint|draw|plan|choose|install|open|replace|carry|decorate|use) (a|my|the|an old|a broken|a leaking|a good) <t>(| at home| quickly)?", "(Who|When did someone|Which person|Which artist|Which country) (painted|wrote|invented|discovered|built|composed|directed|made|created) <k>?", "(What happened|Who was king|Who was president|Which war began|Who won) in (the year |) <y>?", "In which year (was|were) <k> (made|invented|written|discovered|built|born)?", "When (was|did|were) <k> (made|invented|written|happen|published|discovered)?", "(Write|Compose|Draft|Create|Please write) (a|me a|a short|a long|a nice) (poem|song|email|letter|essay|haiku|speech|review|blog post|report) (about|on|for|to) (<x>|my <t>|my boss|my mother|a friend|<x> and <x>)", "(Which|What) (<t>|<t>s) (should|can|do) (I|we|people) (buy|use|need|choose)(| this month| this year| today)?", "(Is|Are) <x> (good|bad|dangerous|better than the rest|real|expensive|healthy)(| for me| for children)?", "(My|The) <t> (is|looks|sounds|smells) (broken|strange|dirty|old|wrong)(|, what can I do?|. Any advice?)", "(Where|When|Why) (was|is|did) <n> (born|famous|die|angry|elected|late)?", "(Can|Could) you (explain|summarise|describe|discuss) (the theory of|the history of|the causes of|the rules of|the basics of|the meaning of) <x>?", "(How many|How much) (people|money|water|time|stars|countries|players|days) (are there|do I need|is needed|live) (in|for|with) <x>?", "What('s| is) (the weather|the temperature|the traffic|the news) (going to be |) (like |) (in|at|around) (Busan|Paris|London|my town|Jeju|New York|Tokyo)(| tomorrow| today| next week)?"],
    "ko": ["<t:을> (어떻게|어디서|언제) (고쳐|수리해|청소해|만들어|요리해|사|팔아|칠해|골라|설치해|바꿔|써|고치나요|만드나요|사나요)?", "<t:이> (고장 났어|고장 났는데|새는데|이상해|더러워|안 돼|부서졌어|망가졌는데) (어떻게 해|어떻게 고쳐|어떡하지|방법이 있을까|도와줘)?", "<k:은> 누가 (그렸어|썼어|만들었어|발명했어|발견했어|지었어|작곡했어|세웠어)?", "<k:은> 언제 (만들어졌어|발명됐어|쓰였어|일어났어|나왔어|생겼어)?", "<k:을> (그린|쓴|만든|발명한|지은) 사람(은|이) 누구야?", "<y>년에 (무슨 일이 있었어|누가 왕이었어|어떤 전쟁이 있었어|뭐가 일어났어)?", "<x:은> 몇 년에 (일어났어|시작됐어|끝났어|생겼어)?", "<x>에 대한 (시|노래|글|편지|보고서|수필|기사)(를|을|) (한 편|하나|) (써 줘|지어 줘|작성해 줘|만들어 줘)", "(봄|여름|가을|겨울|바다|엄마|친구|사랑|눈|비)에 (대한|관한) (시|노래|글|편지|시 한 편|글 한 편) (써 줘|지어 줘|하나 써 줘|부탁해)", "(요즘|최근|주말에|오늘) (볼 만한|읽을 만한|재미있는|좋은|인기 있는|들을 만한) (드라마|영화|책|노래|게임|만화|웹툰|음악) (추천해 줘|뭐가 있어|알려 줘|추천)", "(내일|모레|오늘|이번 주) (제주도|부산|파리|뉴욕|강릉|도쿄|우리 동네) (날씨|기온|교통)(는|이|가|) (어때|어떨까|어떨 것 같아|알려 줘|좋을까)?", "<x:은> (좋아|나빠|위험해|비싸|건강에 좋아|진짜야|안전해)?", "<n:은> (왜|언제|어디서) (태어났어|유명해|죽었어|화났어|당선됐어)?", "(어떤|무슨) <t:을> (사야|골라야|써야) (해|할까|좋을까|되나요)?", "<x> 이론(을|에 대해|) (설명해 줘|알려 줘)"],
}


def unknown(c):
    rng = c.rng
    roll = rng.random()
    if roll < 0.3:
        question = ask(rng, c.ask, TASKS[c.ask], t=rng.choice(THINGS[c.ask]), k=rng.choice(WORKS[c.ask]), y=rng.randint(900, 2030),
                       x=rng.choice(NOUNS[c.ask]), n=name_for(rng, c.ask))
    elif roll < 0.65:
        noun = nonsense(rng, c.ask) if rng.random() < 0.25 else rng.choice(NOUNS[c.ask])
        question = ask(rng, c.ask, ABOUT[c.ask], x=noun)
    else:
        question = ask(rng, c.ask, WHOLE[c.ask], n=name_for(rng, c.ask), w=nonsense(rng, c.ask))
    at = rng.randrange(2)
    return question, {lang: ANSWERS[lang][at] for lang in ("en", "ko")}
