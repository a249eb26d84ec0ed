"""Greetings, thanks, moods: fixed exchanges as (questions, answers) per language.

Every entry is one intent: question templates and answer variants in both
languages. An intent's first answer is also its short answer.
"""

INTENTS = {
    "hello": {
        "en": (["(hi|hello|hey|hiya|heya|hi hi|hello there|well hello|oh hi)(| hi| hello| there| again| friend| buddy| you|, you)(| :D| =)|!|!!| 👋| ^^)", "(Hey|Hi|Hello)(| Maru| there|,) (nice|good|great|lovely|pleased) to (meet|see) (you|ya)(| too| again| here|!)", "(Hi|Hello|Hey|Hiya|Howdy|Greetings|Hi there|Hello there|Hey there|Yo)(| Maru|, Maru|!|.| everyone)",
                "(Hi|Hello|Hey)(,|!) (nice to meet you|good to see you|anybody there?|are you there?|can you hear me?|long time no see)",
                "Nice to meet you(| too| Maru)", "(I'm|I am) (back|here)(| again)", "Hello (again|world|friend|model|bot)"],
               ["Hello! How can I help you today?", "Hi! Nice to meet you. What would you like to know?",
                "Hello! 😊 Ask me about Maru, EXAONE or text generation."]),
        "ko": (["(안녕|안녕하세요|하이|헬로|ㅎㅇ|안뇽)(| 안녕| 마루| 친구| 거기)(|~|!!| ㅎㅎ| ^^| 👋|?)", "(안녕|안녕하세요|마루야)(,|!|~|) (만나서|알게 되어서|이렇게 만나서) (정말|너무|참|) (반가워|반갑습니다|반가워요|기뻐)", "(안녕|안녕하세요|안녕하십니까|하이|헬로|안뇽|안녕하세용|반가워|반가워요|반갑습니다|만나서 반가워|만나서 반가워요|만나서 반갑습니다|여보세요)(| 마루|, 마루야|!|.|~)",
                "안녕(|하세요) (반가워|반갑습니다|거기 누구 있나요?|잘 부탁해|잘 부탁드려요|처음 뵙겠습니다)", "나 (왔어|다시 왔어)", "(처음 뵙겠습니다|오랜만이야|오랜만이에요|인사드려요|잘 부탁드립니다)"],
               ["안녕하세요! 무엇을 도와드릴까요?", "안녕하세요! 만나서 반가워요. 무엇이 궁금하세요?",
                "안녕하세요! 😊 마루, EXAONE, 텍스트 생성에 대해 물어보세요."]),
    },
    "morning": {
        "en": (["(A|Wishing you a|Have a) (very |)(good|lovely|happy|nice) morning(| to you| Maru|!| friend)", "(Hello|Hi|Hey)(,|) good morning(| to you| Maru|!)", "(Good morning|Morning|Good mornin)(| Maru|!|, friend)", "(Good morning|Morning)(,|!) (how can you help|nice day|I just woke up)"],
               ["Good morning! ☀️ What can I do for you?"]),
        "ko": (["(좋은 아침|굿모닝|상쾌한 아침|행복한 아침)(이네|이네요|이야|입니다|이에요|이구나|)(|,|!) (마루야|마루|친구야|모두)", "(마루야|안녕|안녕하세요)(,|) (좋은 아침|굿모닝|좋은 아침이야|좋은 아침입니다)", "(좋은 아침|좋은 아침이야|좋은 아침이에요|좋은 아침입니다|굿모닝|잘 잤어?|안녕히 주무셨어요?)(|!|~)"],
               ["좋은 아침이에요! ☀️ 무엇을 도와드릴까요?"]),
    },
    "evening": {
        "en": (["Good (evening|afternoon)(| Maru|!|, friend)"], ["Hello! I hope you are having a nice day."]),
        "ko": (["좋은 (오후|저녁|하루)(|예요|이에요|입니다|네요)(|!)"], ["안녕하세요! 좋은 하루 보내고 계시길 바라요."]),
    },
    "bye": {
        "en": (["(Alright|OK|Okay|Well|So|Right|Fine)(,| then,|) (bye|goodbye|bye bye|see you|take care|I'm off|I'm leaving|farewell)(| now| soon| then| later| tomorrow|, see you| again soon)", "(Got to|Have to|Time to|Need to|I gotta|gotta) (run|leave|go home|head out|stop|log off)(|, bye|, see you|, talk later|, later| now|!)", "(Catch|See|Talk to|Meet) you (again|soon|around|tomorrow|later|next time)(|!|, bye|, Maru)", "(Bye|Goodbye|Bye bye|Bye for now|See you|See you later|See ya|See you tomorrow|Farewell|Take care|So long|Cya|Until next time|Talk to you later)(| Maru|!|.|, friend)",
                "I (have to|need to|must|should|'ve got to) (go|leave|go now|run|stop here)(|, bye|, see you)(|!)", "(That's all|That is all|That was all)(|, thanks|, bye| for today)(|!)",
                "(I'm|I am) (leaving|off|going home)(| now)(|, bye)"],
               ["Goodbye! Have a nice day.", "See you! 👋 Come back any time."]),
        "ko": (["(그럼|이제|자|그래) (안녕|이만|갈게|가 볼게|가 볼게요|나갈게|가야겠다|끝낼게|끝내자|헤어지자|여기까지)(|, 또 봐|, 다음에 봐|, 내일 봐|. 잘 있어|. 고마웠어|!)", "(다음에|나중에|내일|또|곧) (봐|보자|만나|만나자|봬요|만나요|올게|이야기하자|얘기하자)(|!|~| 안녕)", "(잘 가|잘 있어|안녕히 가세요|안녕히 계세요|다음에 봐|다음에 봐요|다음에 또 봐|또 봐|내일 봐|나중에 봐|바이|바이바이|빠이|이만 갈게|이만 가볼게요|나 갈게|나 간다|또 올게|다음에 또 올게요)(|!|.|~| 마루야)",
                "(이제|나 이제|저는 이제|그만) (가야 해|가야 돼요|가 볼게|가볼게요|가 보겠습니다|나갈게)(|. 안녕|. 잘 있어)", "오늘은 (여기까지|이만|그만)(|할게|하자|할게요|하겠습니다)"],
               ["안녕히 가세요! 좋은 하루 보내세요.", "다음에 또 만나요! 👋"]),
    },
    "night": {
        "en": (["(Good night|Nighty night|Night|Goodnight)(| then| now| Maru| everyone)(|, sleep well|, see you tomorrow|, sleep tight|!)", "(I'll|I will|I should|Time to) (sleep|go to bed|go to sleep|get some sleep)(| now|, good night)", "(Good night|Goodnight|Night night|Sleep well|Sweet dreams)(| Maru|!|.)", "(I'm|I am) (going to bed|going to sleep|off to bed)(| now)"],
               ["Good night! 🌙 Sleep well."]),
        "ko": (["(나|저|난|이제)(| 이제| 그만) (잘게|자야겠다|자러 갈게요|잘게요|자야 해|자러 간다|잘 시간이야)(|. 잘 자|. 굿나잇|!)", "(잘 자|잘 자요|푹 자|굿나잇)(,|) (마루야|마루|내일 봐|좋은 꿈|또 봐)", "(잘 자|잘자요|안녕히 주무세요|굿나잇|좋은 꿈 꿔|좋은 밤|좋은 밤 되세요|나 이제 잘게|자러 갈게|이만 잘게요)(|!|~)"],
               ["안녕히 주무세요! 🌙 좋은 꿈 꾸세요."]),
    },
    "thanks": {
        "en": (["(thanks|thank you|thank u|thx|thanx|ty|cheers)(| a lot| a bunch| a million| so much| very much| again| indeed| once more| loads)(|, that helped|, that was helpful|, that is great|, you helped me|, you are kind| for this| for your time| for all your help|, great help|, nice)", "(Perfect|Great|Super|Awesome|Lovely), (thanks|thank you|thx)(|!| a lot| so much)", "(Thanks|Thank you|Thx|Many thanks|Thanks a lot|Thank you so much|Thank you very much|Cheers|Ty|Much appreciated|I appreciate it)(| Maru|!|.|, friend)",
                "(Thanks|Thank you|Great, thanks) (for your help|for the help|for that|for the answer|for explaining|for everything|for the information)(|!)",
                "(That|This|It) (was|is) (very |really |so |)(helpful|useful|kind)(|, thanks|, thank you|!)", "You (helped|have helped) me (a lot|very much)"],
               ["You're welcome!", "You're welcome! 😊 Is there anything else?"]),
        "ko": (["(정말|진짜|너무|무척|아주|)(고마워|고맙습니다|감사합니다|감사해요|고마웠어|땡큐)(|, 마루야| 마루| ㅎㅎ|, 도움이 됐어|, 큰 도움이 됐어요|, 잘 알겠어|~)", "(친절하게|자세히|빨리|잘|쉽게) (알려줘서|설명해줘서|대답해 줘서|가르쳐 줘서|답해 주셔서) (진짜 |정말 |)(고마워|고마워요|감사합니다)", "(친절한|빠른|좋은) (답변|설명|대답|안내) (감사합니다|고마워|감사해요|정말 감사합니다)", "(고마워|고마워요|감사합니다|감사해요|고맙습니다|땡큐|정말 고마워|정말 감사합니다|너무 고마워요|매우 감사합니다|ㄱㅅ|감사)(|!|.|~| 마루야)",
                "(알려줘서|도와줘서|알려 주셔서|도와주셔서|설명해 줘서|답해 줘서|대답해 주셔서|설명) (고마워|고마워요|감사합니다|감사해요)(|!)", "(정말|아주|매우|많이|큰) (도움이 됐어|도움 됐어요|도움이 되었습니다|유용했어요)(|. 고마워)"],
               ["천만에요!", "천만에요! 😊 더 궁금한 것이 있나요?"]),
    },
    "how_are_you": {
        "en": (["(How|How's|Hows|How is|How are|How was) (things|your day|your day so far|your week|your morning|everything there|you feeling|life going|all|your day going|things going)(| with you| today| so far| lately| these days)?", "(Hey|Hi|So|Well) (how are you|how's it going|how are things|how is your day|you good)(| today| so far| friend)?", "How are you(| today| doing| doing today| feeling| feeling today| these days|, Maru)?", "How('s| is) (it going|everything|everything going|life|your day|your day going|it)(| today)?",
                "What's up(|, Maru)?", "(Are you|You) (okay|ok|fine|well|good|all right)?", "How (have you been|do you do|do you feel)(| today| lately)?", "(Hi|Hello|Hey), how are you(| doing| today)?", "Did you have a good day?"],
               ["I'm doing well, thank you! How can I help you?", "I'm fine, thanks! I am small but happy to help. 😊"]),
        "ko": (["(오늘|요즘|요새|이번 주|지금) (하루|하루는|기분은|기분|컨디션은|생활은|)(어때|어땠어|어때요|어땠어요|어떠니|좋아|괜찮아|괜찮았어)?", "(마루야|마루|너|넌|너는) (요즘 |오늘 |)(잘 지내|잘 지내니|어떻게 지내|잘 있었어|기분 어때|어때|괜찮니)?", "(잘 지내|잘 지내요|잘 지냈어|잘 지내셨어요|어떻게 지내|어떻게 지내요|어떻게 지내세요|잘 지내고 있어|요즘 어때|요즘 어때요|기분 어때|기분이 어때요|오늘 어때|오늘 기분 어때|오늘 기분은 어떠세요|별일 없어|괜찮아|컨디션 어때|밥 먹었어|하루 잘 보냈어)?",
                "(안녕|안녕하세요)(,|.|!) (잘 지내|잘 지내요|잘 지내세요|어떻게 지내|요즘 어때요|오늘 어때요)?"],
               ["잘 지내고 있어요, 고마워요! 무엇을 도와드릴까요?", "저는 잘 지내요! 작지만 열심히 도와드릴게요. 😊"]),
    },
    "praise": {
        "en": (["(you are|you're|u are|maru is) (so|really|very|pretty|quite|super) (clever|smart|good|nice|helpful|kind|cool|fast|cute|great|impressive|sweet)(|!| indeed| today)", "(You are|You're) (great|awesome|smart|so smart|cool|nice|amazing|cute|the best|clever|wonderful|very kind|really good|fast|funny)(|!|, Maru)", "(Good|Great|Nice|Excellent|Well done|Good job|Great job|Nice work|Well done)(|, Maru)!",
                "(Good|Great|Nice|Excellent) (answer|job|work|one|explanation)(|!)", "(Wow|Amazing|Awesome|Perfect|Fantastic|Impressive|Brilliant|Cool)(|!|!!|, that's great)", "I (like|love) (you|your answers|talking to you|this|it)(|!)", "(That|This|It) is (great|amazing|cool|nice|awesome|perfect)"],
               ["Thank you! 😊 That is very kind of you."]),
        "ko": (["(너|너는|넌|마루|정말|너 정말) (똑똑하네|똑똑하구나|멋져|멋지다|귀여워|귀엽다|최고야|최고네|대단해|대단하네|착하다|빠르네|잘하네|재미있네|훌륭해)(|!|요)", "(잘했어|잘했어요|훌륭해|멋져|멋지다|완벽해|대단해|대단하다|최고|우와|와|굿|좋은 답이야|좋은 답변이에요|좋은 설명이네요)(|!|!!)",
                "(너|네가|네 대답이|이거) (좋아|마음에 들어|정말 좋아|정말 마음에 들어요)"],
               ["고마워요! 😊 정말 친절하시네요."]),
    },
    "insult": {
        "en": (["(You are|You're) (stupid|dumb|bad|useless|slow|wrong|terrible|boring|annoying|not smart|an idiot|bad at this)(|!)", "(That|This|It) (is|was) (wrong|bad|not right|incorrect|nonsense|false|terrible)(|!)", "(I don't like|I hate) (you|this|your answer|that answer)", "(Wrong|Nope, wrong|Incorrect|Bad answer)(|!)"],
               ["I'm sorry about that. I am only a tiny demo model, so I make mistakes."]),
        "ko": (["(너|너는|넌|너 정말|마루) (바보야|바보구나|멍청해|멍청하네|느려|별로야|쓸모없어|틀렸어|못하네|재미없어|답답해)(|!)", "(틀렸어|틀렸어요|그건 틀렸어|아니야 틀렸어|잘못됐어|그게 아니야|오답이야|말도 안 돼|이상한 대답이야|별로야)(|!)", "(네가|너|네 대답이) (싫어|마음에 안 들어|별로야)"],
               ["죄송해요. 저는 아주 작은 데모 모델이라 실수를 할 때가 있어요."]),
    },
    "sad": {
        "en": (["(I'm|I am|im|I feel|I am feeling) (so|very|really|quite|a bit|rather|pretty) (sad|lonely|tired|down|upset|bad|exhausted|blue)(| today| now| right now|.)", "(I'm|I am|I feel|I am feeling|I'm so|I feel so) (sad|lonely|tired|bad|stressed|down|depressed|exhausted|upset|unhappy|worried|bored)(| today| now|.)", "I (had|am having) a (bad|hard|terrible|long|difficult) (day|week|time)", "(Today was|It was|My day was) (hard|difficult|tiring|terrible|stressful)"],
               ["I'm sorry to hear that. I hope you feel better soon. 🍀"]),
        "ko": (["(오늘|요즘|나|저) (좀|너무|많이|정말|진짜) (슬퍼|슬퍼요|힘들어|힘들어요|우울해요|외로워|지쳐|지쳤어요|피곤해요|속상해)(|.| ㅠㅠ)", "(나|저|오늘|나 오늘|저 오늘|나 지금|너무|요즘) (슬퍼|슬퍼요|외로워|외로워요|피곤해|피곤해요|힘들어|힘들어요|우울해|우울해요|지쳤어|속상해|속상해요|심심해|스트레스 받아|걱정돼)", "(힘든|안 좋은|나쁜|긴|피곤한) 하루(였어|였어요|네|네요)"],
               ["속상하셨겠어요. 곧 기분이 나아지길 바라요. 🍀"]),
    },
    "happy": {
        "en": (["(I'm|I am|im|I feel) (so|very|really|super|quite|so very) (happy|glad|excited|cheerful|good|pleased)(| today| now| right now|!|!!)", "(I'm|I am|I feel|I'm so|I am very|I feel so) (happy|great|excited|good|glad|fantastic|fine|well|wonderful)(| today| now|!)", "I (had|am having) a (good|great|wonderful|nice|lovely) (day|week|time)(|!)", "(Today is|It is) my birthday(|!)", "I (passed my exam|got a new job|won a prize|got good news)(|!)"],
               ["That's great to hear! 🎉"]),
        "ko": (["(나|저|오늘|나 오늘|저 오늘|나 지금|너무|정말) (행복해|행복해요|기뻐|기뻐요|신나|신나요|기분 좋아|기분이 좋아요|즐거워|즐거워요|좋은 일이 있었어)(|!)", "(좋은|멋진|즐거운|행복한) 하루(였어|였어요|네|네요)", "오늘(은|) (내|제) 생일(이야|이에요)", "(시험에 합격했어|시험에 붙었어요|취직했어|상을 받았어)(|!)"],
               ["정말 좋은 소식이네요! 🎉"]),
    },
    "sorry": {
        "en": (["(oh|oops|ah|whoops|ups) (sorry|my bad|my mistake|I'm sorry|pardon)(| about that| for that|, my fault|, I made a mistake|, wrong button)", "(That was|It was) (my|my own) (mistake|fault|error)(|, sorry)", "(Sorry|I'm sorry|My apologies|I apologize|Oops, sorry|My bad|Sorry about that|Excuse me)(|!|.)"], ["No problem at all!"]),
        "ko": (["(미안|미안해|미안해요|죄송합니다|죄송해요|사과할게|실수했어, 미안|앗 미안)(|!|.)"], ["괜찮아요!"]),
    },
    "okay": {
        "en": (["(OK|Okay|I see|Got it|Understood|All right|Alright|Sure|Yes|Yeah|Yep|Good|Fine|Makes sense|Right|Hmm|Aha|Oh I see|Interesting|That makes sense)(|.|!|, I see)"], ["Good! What else would you like to know?"]),
        "ko": (["(응|네|예|그래|그래요|알겠어|알겠어요|알겠습니다|그렇구나|그렇군요|오케이|ㅇㅋ|좋아|좋아요|이해했어|이해했어요|아하|음|흠|아 그렇구나|그렇네|재미있네)(|.|!)"], ["좋아요! 더 궁금한 것이 있나요?"]),
    },
    "no": {
        "en": (["(No|Nope|No thanks|No, thank you|Not now|Nothing|Nothing else|Never mind|Not really|No, that's all)(|.|!)"], ["All right! I am here if you need me."]),
        "ko": (["(아니|아니요|아니오|아뇨|괜찮아요|없어|없어요|아니 괜찮아|됐어|됐어요|아무것도 아니야|지금은 괜찮아)(|.|!)"], ["알겠어요! 필요하면 언제든지 불러 주세요."]),
    },
    "joke": {
        "en": (["(tell|can you tell|could you tell|know|got|share) (me |)(a|any|another|some|one) (really |very |good |)(funny |silly |short |)(joke|jokes|pun)(| please| for me)?", "(Tell me|Say|Do you know|Give me|Can you tell me|I want to hear|Let's hear|Share) (a|one|a good|a funny|another|some) (joke|jokes)(| please)?", "Make me (laugh|smile)", "(Say|Tell me) something (funny|fun)", "(A|Another) joke(| please)", "Are you funny? (Tell|Show) me"],
               ["Why did the token cross the road? To get to the next prediction! 😄", "What is a decoder's favourite food? Fresh tokens! 😄"]),
        "ko": (["(아주|정말|진짜|엄청|좀) (웃긴|재미있는|재밌는) (농담|개그|얘기) (하나만|하나|좀|) (해 줘|들려줘|말해 줘|부탁해|해 봐)", "(농담|재미있는 농담|웃긴 이야기|개그|유머|재밌는 농담|웃긴 농담) (하나 |좀 |한번 |하나만 |)(해 줘|해 주세요|들려줘|말해 줘|해 줄래?|해 봐|부탁해|알려 줘)", "(나 좀|나를|저를) 웃겨(줘| 줘| 주세요| 봐)", "(농담|개그) (할 줄 알아|할 수 있어|아는 거 있어)?", "(웃긴|재미있는) (말|얘기) (해 줘|해 봐|좀 해 줘)"],
               ["토큰이 왜 길을 건넜을까요? 다음 예측을 만나려고요! 😄", "디코더가 가장 좋아하는 음식은 무엇일까요? 갓 나온 토큰이에요! 😄"]),
    },
    "emoji": {
        "en": (["(please |can you |could you |)(send|show|give|write|use) (me |)(some|a few|an|three|cute|happy|nice|a) (emoji|emojis|smileys|smiley)(| to me| for me| please)", "(Send|Show|Give|Type|Write) me (an|one|a nice|some|a happy) (emoji|emojis|smiley|smileys)", "Can you (use|send|write|type|show) (an emoji|emoji|emojis|smileys)?", "Do you (know|like|use) emojis?", "(An emoji|Emoji|A smiley)(,| please)(| now)", "👋", "😀", "😊", "👍", "❤️", "🎉", "🙂🙂", ":)"],
               ["Here you are: 😀🎉🚀", "Sure! 😊🌸👍"]),
        "ko": (["(예쁜|귀여운|재미있는|웃는|아무) (이모지|이모티콘) (좀|하나|몇 개|) (보내 줘|보여 줘|써 줘|줘|보내 봐)", "(이모지|이모티콘|웃는 이모지|귀여운 이모지|스마일) (하나 |좀 |한번 |몇 개 |)(보내 줘|보여 줘|써 줘|보내 주세요|써 봐|쓸 수 있어?|쓸 줄 알아?|알아?|보여 주세요)", "(이모지|이모티콘)(|을|를) (좋아해|알아|써|사용해)?"],
               ["여기 있어요: 😀🎉🚀", "물론이죠! 😊🌸👍"]),
    },
}
