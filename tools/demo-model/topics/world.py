"""Capitals and lists."""

# English country, English capital, Korean country, Korean capital
CAPITALS = [
    ("South Korea", "Seoul", "대한민국", "서울"), ("Japan", "Tokyo", "일본", "도쿄"), ("China", "Beijing", "중국", "베이징"),
    ("France", "Paris", "프랑스", "파리"), ("Germany", "Berlin", "독일", "베를린"), ("Italy", "Rome", "이탈리아", "로마"),
    ("Spain", "Madrid", "스페인", "마드리드"), ("Portugal", "Lisbon", "포르투갈", "리스본"), ("the United Kingdom", "London", "영국", "런던"),
    ("Ireland", "Dublin", "아일랜드", "더블린"), ("the Netherlands", "Amsterdam", "네덜란드", "암스테르담"), ("Belgium", "Brussels", "벨기에", "브뤼셀"),
    ("Switzerland", "Bern", "스위스", "베른"), ("Austria", "Vienna", "오스트리아", "빈"), ("Poland", "Warsaw", "폴란드", "바르샤바"),
    ("the Czech Republic", "Prague", "체코", "프라하"), ("Hungary", "Budapest", "헝가리", "부다페스트"), ("Greece", "Athens", "그리스", "아테네"),
    ("Turkey", "Ankara", "튀르키예", "앙카라"), ("Russia", "Moscow", "러시아", "모스크바"), ("Ukraine", "Kyiv", "우크라이나", "키이우"),
    ("Sweden", "Stockholm", "스웨덴", "스톡홀름"), ("Norway", "Oslo", "노르웨이", "오슬로"), ("Denmark", "Copenhagen", "덴마크", "코펜하겐"),
    ("Finland", "Helsinki", "핀란드", "헬싱키"), ("Iceland", "Reykjavik", "아이슬란드", "레이캬비크"), ("the United States", "Washington, D.C.", "미국", "워싱턴 D.C."),
    ("Canada", "Ottawa", "캐나다", "오타와"), ("Mexico", "Mexico City", "멕시코", "멕시코시티"), ("Brazil", "Brasilia", "브라질", "브라질리아"),
    ("Argentina", "Buenos Aires", "아르헨티나", "부에노스아이레스"), ("Chile", "Santiago", "칠레", "산티아고"), ("Peru", "Lima", "페루", "리마"),
    ("Colombia", "Bogota", "콜롬비아", "보고타"), ("Cuba", "Havana", "쿠바", "아바나"), ("Australia", "Canberra", "호주", "캔버라"),
    ("New Zealand", "Wellington", "뉴질랜드", "웰링턴"), ("India", "New Delhi", "인도", "뉴델리"), ("Thailand", "Bangkok", "태국", "방콕"),
    ("Vietnam", "Hanoi", "베트남", "하노이"), ("Indonesia", "Jakarta", "인도네시아", "자카르타"), ("the Philippines", "Manila", "필리핀", "마닐라"),
    ("Malaysia", "Kuala Lumpur", "말레이시아", "쿠알라룸푸르"), ("Mongolia", "Ulaanbaatar", "몽골", "울란바토르"), ("Egypt", "Cairo", "이집트", "카이로"),
    ("Kenya", "Nairobi", "케냐", "나이로비"), ("Ethiopia", "Addis Ababa", "에티오피아", "아디스아바바"), ("Iran", "Tehran", "이란", "테헤란"),
    ("Saudi Arabia", "Riyadh", "사우디아라비아", "리야드"), ("Nepal", "Kathmandu", "네팔", "카트만두"),
]

OTHER_NAMES = {
    "South Korea": ["Korea", "the Republic of Korea", "South Korea"], "the United Kingdom": ["the UK", "England", "Great Britain", "Britain", "UK"],
    "the United States": ["the USA", "the US", "America", "USA", "United States"], "the Netherlands": ["Holland", "Netherlands"], "the Czech Republic": ["Czechia"],
    "대한민국": ["한국", "우리나라", "남한"], "튀르키예": ["터키"], "호주": ["오스트레일리아"], "미국": ["미합중국"], "독일": ["도이칠란트"], "태국": ["타이"], "체코": ["체코 공화국"],
    "the Philippines": ["Philippines"],
}

CAPITAL_QUESTIONS = {
    "en": ["(What is|What's|Which city is|Which is|Name|Tell me|Do you know|Give me|Say) the capital( city| city|||) of <x>?", "(What|Which) (city|town) is the capital of <x>?", "<x>'s capital(| is| city|?|: what is it?| please)", "(Capital|The capital|capital city|Capital city) of <x>(|?| please)", "(Which|What) capital (does <x> have|has <x>|belongs to <x>)?",
           "(Can|Could) you (tell me|name|give me) the capital( city|) of <x>?", "(I forgot|I need|I want to know|I don't know|Remind me of) the capital( city|) of <x>", "The capital of <x> is (what|which city)?", "(And|What about|How about) the capital of <x>?", "Where is the (government|capital) of <x>?",
           "(Which|What) city (would|might|could) (be|you call|you name as) the capital of <x>?", "(I am|I'm|We are) (looking for|searching for|trying to remember|asking about|interested in) the capital( city|) of <x>", "<x>'s capital(,| city,| -) (do you know it|can you name it|please tell me|which one is it|what was it|any idea)?",
           "(I'm|I am|We are) (travelling|traveling|flying|going|moving) to <x>(,|.|;) (what is|what's|which city is|tell me) (the|its) capital(| city| there)?", "(My friend|My sister|A colleague|My teacher) (lives in|comes from|asked about|visited) <x>(,|.) (what is|what's|which city is) (the|its) capital(| city)?",
           "<x> has which capital( city|)?", "(In|For) <x>, (what is|which city is|what's) the capital( city|)?"],
    "ko": ["<x>(의|) (수도|수도는|수도가) (어디야|어디예요|어디인가요|어디입니까|어디지|어디니|뭐야|뭔가요|어디죠|무엇인가요|알아|알려 줘|말해 줘)?", "<x>(의|) 수도(|는|?|를 알려 줘|를 말해 줘|를 알려 주세요|를 알고 싶어|가 궁금해|가 어딘지 알아?|가 기억 안 나|가 어디더라?|의 이름은?|를 대 봐)", "<x:은> 수도가 (어디야|어디예요|어디인가요|뭐야)?", "(어느|어떤) 도시가 <x>(의|) 수도(야|예요|인가요|입니까)?", "<x>에서 수도(는|가) (어디야|어디예요|어느 도시야)?", "<x>(의|) 수도 이름(이|은) (뭐야|뭐예요|무엇인가요)?",
           "<x:으로> (여행|출장|휴가|유학|이민) (가는데|갈 건데|가려고 하는데|왔는데|가요.|가.) (거기 |그 나라 |그곳 |)수도(는|가|) (어디야|어디예요|어디인가요|어딘가요|뭐야|어디지)?", "<x>(의|) 수도(를|가|) (찾고 있어|알아보는 중이야|알고 싶습니다|기억이 안 나요|헷갈려|모르겠어|궁금합니다|배우고 있어|맞혀 봐|말해 볼래)", "<x:이라는> 나라(의|는|) 수도(가|는|) (어디야|뭐야|어디인가요|어디지)?",
           "<x>(의|) 수도(가|) (<z:이야>|<z:이었나>|<z:이지>|<z:인가>|<z> 맞아|<z> 아니야)?", "(친구가|동생이|가족이) <x>에 (사는데|있는데|갔는데) (거기|그 나라) 수도(가|는|) (어디야|어디지|뭐야|어디예요)?"],
}
REVERSE_QUESTIONS = {
    "en": ["<x> is the capital of (which|what) (country|nation)?", "(Of which|Which|What) country is <x> the capital( of|)?", "(Which|What) (country|nation) has <x> as (its|the) capital?", "(Which|What) country's capital is <x>?"],
    "ko": ["<x:은> (어느|어떤|무슨) 나라(의|) 수도(야|예요|인가요|입니까|지)?", "<x:이> 수도인 나라(는|가) (어디야|어디예요|어디인가요|뭐야)?", "(어느|어떤) 나라의 수도가 <x:이야>?"],
}

# name: (English singular, plural, Korean, [English items], [Korean items])
LISTS = {
    "fruit": (["fruits", "fruit", "kinds of fruit"], ["과일", "과일 이름"], ["apple", "banana", "grape", "orange", "strawberry", "peach", "melon", "pear", "cherry", "mango"], ["사과", "바나나", "포도", "오렌지", "딸기", "복숭아", "멜론", "배", "체리", "망고"]),
    "colour": (["colours", "colors"], ["색", "색깔", "색상", "컬러"], ["red", "blue", "green", "yellow", "orange", "purple", "white", "black", "pink", "brown"], ["빨강", "파랑", "초록", "노랑", "주황", "보라", "하양", "검정", "분홍", "갈색"]),
    "animal": (["animals", "kinds of animals", "wild animals"], ["동물", "동물 이름"], ["dog", "cat", "tiger", "rabbit", "horse", "elephant", "lion", "monkey", "bear", "fox"], ["개", "고양이", "호랑이", "토끼", "말", "코끼리", "사자", "원숭이", "곰", "여우"]),
    "vegetable": (["vegetables", "veggies"], ["채소", "야채", "채소 이름"], ["carrot", "onion", "potato", "cabbage", "spinach", "cucumber", "garlic", "radish", "pepper", "tomato"], ["당근", "양파", "감자", "양배추", "시금치", "오이", "마늘", "무", "고추", "토마토"]),
    "country": (["countries", "nations"], ["나라", "국가", "나라 이름"], ["South Korea", "Japan", "France", "Germany", "Brazil", "Canada", "Egypt", "India", "Italy", "Spain"], ["대한민국", "일본", "프랑스", "독일", "브라질", "캐나다", "이집트", "인도", "이탈리아", "스페인"]),
    "city": (["cities", "big cities"], ["도시", "도시 이름"], ["Seoul", "Busan", "Tokyo", "Paris", "London", "New York", "Berlin", "Rome", "Sydney", "Madrid"], ["서울", "부산", "도쿄", "파리", "런던", "뉴욕", "베를린", "로마", "시드니", "마드리드"]),
    "drink": (["drinks", "beverages"], ["음료", "음료수", "마실 것"], ["water", "coffee", "green tea", "milk", "orange juice", "lemonade", "cocoa", "apple juice"], ["물", "커피", "녹차", "우유", "오렌지 주스", "레모네이드", "코코아", "사과 주스"]),
    "sport": (["sports", "kinds of sport"], ["운동", "스포츠", "운동 종목"], ["football", "baseball", "tennis", "basketball", "swimming", "golf", "volleyball", "running"], ["축구", "야구", "테니스", "농구", "수영", "골프", "배구", "달리기"]),
    "instrument": (["musical instruments", "instruments"], ["악기", "악기 이름"], ["piano", "guitar", "violin", "flute", "drum", "trumpet", "cello", "harp"], ["피아노", "기타", "바이올린", "플루트", "드럼", "트럼펫", "첼로", "하프"]),
    "flower": (["flowers", "kinds of flowers"], ["꽃", "꽃 이름"], ["rose", "tulip", "lily", "sunflower", "daisy", "orchid", "lotus", "violet"], ["장미", "튤립", "백합", "해바라기", "데이지", "난초", "연꽃", "제비꽃"]),
    "bird": (["birds", "kinds of birds"], ["새", "새 이름", "새 종류"], ["sparrow", "eagle", "owl", "parrot", "duck", "swan", "crow", "magpie"], ["참새", "독수리", "부엉이", "앵무새", "오리", "백조", "까마귀", "까치"]),
    "food": (["Korean dishes", "Korean foods", "dishes from Korea"], ["한국 음식", "한식", "한국 요리"], ["kimchi", "bibimbap", "bulgogi", "tteokbokki", "japchae", "gimbap", "samgyeopsal", "naengmyeon"], ["김치", "비빔밥", "불고기", "떡볶이", "잡채", "김밥", "삼겹살", "냉면"]),
    "planet": (["planets"], ["행성", "태양계 행성"], ["Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune"], ["수성", "금성", "지구", "화성", "목성", "토성", "천왕성", "해왕성"]),
    "language": (["languages", "human languages"], ["언어", "외국어"], ["Korean", "English", "French", "German", "Spanish", "Japanese", "Chinese", "Italian"], ["한국어", "영어", "프랑스어", "독일어", "스페인어", "일본어", "중국어", "이탈리아어"]),
    "programming": (["programming languages", "coding languages"], ["프로그래밍 언어", "컴퓨터 언어"], ["Rust", "Python", "C", "Java", "JavaScript", "Go", "Swift", "Kotlin"], ["Rust", "Python", "C", "Java", "JavaScript", "Go", "Swift", "Kotlin"]),
    "season": (["seasons", "seasons of the year"], ["계절"], ["spring", "summer", "autumn", "winter"], ["봄", "여름", "가을", "겨울"]),
    "weekday": (["days of the week", "weekdays"], ["요일"], ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"], ["월요일", "화요일", "수요일", "목요일", "금요일", "토요일", "일요일"]),
    "month": (["months", "months of the year"], ["달", "월 이름"], ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"], ["1월", "2월", "3월", "4월", "5월", "6월", "7월", "8월", "9월", "10월", "11월", "12월"]),
    "sampling": (["sampling parameters", "sampling settings", "generation parameters"], ["샘플링 매개변수", "샘플링 옵션", "샘플링 설정"], ["temperature", "top-k", "top-p", "min-p", "seed"], ["temperature", "top-k", "top-p", "min-p", "seed"]),
    "benchmark": (["benchmarks", "LLM benchmarks", "leaderboard tests"], ["벤치마크", "LLM 벤치마크"], ["IFEval", "BBH", "MATH", "GPQA", "MUSR", "MMLU-Pro"], ["IFEval", "BBH", "MATH", "GPQA", "MUSR", "MMLU-Pro"]),
}
ORDERED = {"season", "weekday", "month", "planet"}

LIST_QUESTIONS = {
    "en": ["(Name|List|Give me|Tell me|Write|Say|Show me|Suggest|Write down|Mention|Think of|Enumerate) <n> (| different) <x>(| please)", "(Can|Could) you (name|list|give me|tell me|write|suggest) <n> <x>(| please)?", "What are <n> <x>?", "(A list of|List of|I need|I want|Give me a list of|Make a list of|Write a list of|Please list) <n> <x>", "<n> <x>(, please| please|)", "(Which|What) <n> <x> (do you know|can you name)?", "(Give|Provide) <n> (examples of|names of) <x>"],
    "ko": ["<x> <n> (알려 줘|말해 줘|알려 주세요|말해 주세요|대 봐|적어 줘|써 줘|나열해 줘|추천해 줘|이야기해 줘|말해 봐|부탁해|골라 줘|들어 줘|적어 주세요|나열해 주세요|목록으로 써 줘)", "<x:을> <n> (알려 줘|말해 줘|나열해 줘|적어 줘|써 줘|말해 주세요|알려 주세요|추천해 주세요|대 줘|들어 봐)", "<n>의 <x:을> (알려 줘|말해 줘|나열해 줘|적어 주세요)", "<x> <n>만 (알려 줘|말해 줘|적어 줘|대 봐|부탁해요)", "<x:이> <n> (필요해|궁금해|뭐가 있어?)", "<x> 목록 <n> (만들어 줘|써 줘|알려 줘)", "<x:은> 뭐가 있어? <n> (말해 줘|알려 줘|만)", "<x>에는 (뭐가|무엇이) 있어? <n>"],
}
ALL_QUESTIONS = {
    "en": ["(Name|List|Tell me|What are|Say|Give me) (all |)the <all> <x>", "(What|Which) are the <all> <x>?", "(List|Name) all <x>", "What <x> are there?"],
    "ko": ["<x:을> (모두|전부|다|순서대로) (말해 줘|알려 줘|나열해 줘|적어 줘|말해 주세요)", "<x:은> (뭐가 있어|무엇이 있나요|무엇무엇이 있어)?", "(모든|전체) <x:을> (말해 줘|알려 줘|써 줘)", "<x> (전부|모두|다) (말해 줘|알려 줘)"],
}
EN_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
              "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"]
KO_NUMBERS = ["영", "일", "이", "삼", "사", "오", "육", "칠", "팔", "구", "십", "십일", "십이", "십삼", "십사", "십오",
              "십육", "십칠", "십팔", "십구", "이십"]
KO_COUNTS = ["", "한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟"]
