"""Further wordings of the intents in smalltalk, identity and server: intent -> English, Korean templates."""

MORE = {
    "hello": (
        ["(Hey|Hi|Hello|Heya|Hiya|Yo|Oh hi|Ah, hello)(,|!| there,| Maru,| there!|) (glad|happy|so glad|very happy|pleased|excited|good|great|nice) (to be here|I came by|you are here|that you exist|to have found you|to talk to you|to see you here|I could come|to chat with you|to try this)(|!|.)",
         "(It is|It's|How) (nice|good|great|lovely|wonderful) (to|that I can) (meet|see|talk to|chat with|speak with|know) you(|!| Maru| here| at last| for the first time)",
         "(I|We) just (wanted to|came to|thought I would) (say|drop by and say|come by to say) (hi|hello|hey)(|!| to you)",
         "(Hello|Hi|Hey)(,|!) (first time here|it's my first time here|I'm new here|I am trying you out|this is my first visit|let's talk|let's chat|can we talk|do you have a minute|anyone home)(|!|?|.)",
         "(hi|hey|yo|heya) (hello|hi|hey|there)(| :-D| :D| :P| xD| <3|!!!)"],
        ["(안녕|안녕하세요|하이|반가워|반가워요|반갑다|반갑습니다)(,|!|~|) (마루야 |마루 |)(오늘 처음이야|처음 써 봐|처음 써 봐요|처음 왔어요|처음 만나네|또 만났네|오랜만에 왔어|놀러 왔어|얘기 좀 하자|대화하러 왔어|인사하러 왔어|잠깐 시간 있어|말 걸어 봤어)(|!|~|?)",
         "(만나서|다시 만나서|이렇게 보게 돼서|대화하게 되어) (반갑다|반갑네|반갑네요|좋다|좋네요|기쁘다|영광이에요|반가운걸)(|!|~| 마루야)",
         "(마루야|마루|저기|거기)(,|~|) (안녕|하이|반가워|나 왔어|인사할게|내 말 들려)(|?|!|~)",
         "(그냥|너한테|잠깐) (인사하러 왔어|인사하고 싶었어|인사나 하려고|안부 전하러 왔어)(|!|~)"]),
    "bye": (
        ["(I'm|I am|Im|We are) (heading|going|running|stepping|rushing|logging|signing|taking) (out|off|home|away|now)(| now| for today| for tonight)(|, bye|, goodbye|, see you|, so long|. Bye!|, have a nice day|, talk soon)",
         "(That's|That is|That will be|That would be) (all|it|everything|enough)( for| I needed| from me| I wanted|)(| now| today| this time)(,|.|) (bye|goodbye|see you|so long|have a good one|talk to you soon|see you next time|cheers, bye)",
         "(Have|Enjoy) (a good|a nice|a great|a lovely|the rest of your) (day|one|evening|weekend|week)(|, bye|!|, see you)",
         "(It was|Was|It's been) (nice|good|great|fun|lovely) (talking|chatting|speaking) (to|with) you(|, bye|. Bye|, goodbye|, see you soon|!)",
         "(I will|I'll|We'll|Let me) (be back|come back|return|talk to you|write again|stop|finish here|leave you) (tomorrow|later|soon|some other day|another time|here|now)(|, bye|!|, see you)",
         "(Bye|Goodbye|So long|Farewell)(,|!|) (and thanks|my friend|for today|have fun|until tomorrow|stay well|all the best|have a good day|it was fun)(|!|.)"],
        ["(난|나|나는|저는|전|이제|그럼|오늘은) (이만|그만|슬슬|먼저|이제|여기서) (나갈게|나가 볼게요|가 볼게|가야겠어|일어날게|들어갈게|퇴근할게|쉬러 갈게|물러갈게|끊을게|마칠게|마무리할게요|작별할게)(|, 수고했어|. 수고해|, 수고하세요|, 고생했어|. 다음에 봐|, 안녕|. 안녕|. 또 보자|!|~)",
         "(수고해|수고했어|수고하세요|고생했어|수고 많았어|고생 많으셨어요)(|, 다음에 봐|, 안녕|! 또 봐|~ 내일 보자|, 갈게|. 이만 갈게)",
         "(즐거웠어|재미있었어|얘기 즐거웠어|대화 즐거웠어요|오늘 재밌었어)(,|.|!) (안녕|잘 있어|또 봐|다음에 보자|갈게|또 올게|이만 갈게|내일 또 봐요)",
         "(다음에|나중에|내일|조만간|곧|주말에) (또 |다시 |꼭 |)(얘기하자|이야기해요|놀러 올게|들를게|찾아올게|대화하자|만납시다|뵐게요|오겠습니다)(|!|~|. 안녕)"]),
    "thanks": (
        ["(I|We) (really |truly |very much |do |)(appreciate|am grateful for|value|am thankful for) (it|this|that|your help|the help|your time|all of it|your answer|your support|your patience|what you did|everything)(| a lot| so much| very much| greatly|!)",
         "(I'm|I am|We are) (so|very|really|truly|extremely) (grateful|thankful)(| to you| for your help| for that| for this|!)",
         "(Thanks|Thank you|Thx|Many thanks|Big thanks|A big thank you|Thanks again|My thanks) (for|to you for) (helping|helping me|the reply|the quick answer|the explanation|being here|telling me|all of this|clearing that up|your effort|your answer|your kindness|letting me know)(|!| out| today)",
         "(That|This|It|Your answer|The explanation|You) (really |)(helped|solved it|answered my question|cleared it up|made it clear|saved me|saved my day|did the job)(|!|,| a lot,| a great deal,) (thanks|thank you|thanks a lot|many thanks|thank you so much)",
         "(Now I understand|Now I get it|I get it now|That answers it|Exactly what I wanted|OK, clear now|Very clear|It works now)(,|!|.) (thanks|thank you|thank you very much|thanks a lot|many thanks)(|!)",
         "(How kind of you|So kind|You're a lifesaver|I owe you one|Thanks a ton|Thanks heaps|Bless you)(|, thanks|, thank you|!)"],
        ["(덕분에|네 덕분에|마루 덕분에|당신 덕분에) (잘 |많이 |금방 |쉽게 |)(배웠어|배웠어요|알게 됐어|이해했어|이해했어요|해결했어|해결됐어요|살았어|알았어요|됐어|끝냈어)(|, 고마워|. 고맙다|, 감사해요|! 고마워요|, 정말 감사합니다|!)",
         "(고맙다|고맙네|고맙구나|고마운걸|고맙기도 해라|진짜 고맙다|고마웠어|감사드려요|감사드립니다|감사했습니다|땡큐야|감사감사|ㄱㅅㄱㅅ|고마워용)(|!|~| 마루야|, 마루| ㅎㅎ|, 덕분이야)",
         "(이제|아|오|와|이제야|아하) (알겠다|알겠네|이해했다|이해가 되네|감이 온다|확실히 알겠어|궁금증이 풀렸어|해결됐다)(,|.|!) (고마워|고맙다|감사합니다|고마워요|땡큐|감사해)",
         "(도움|설명|답변|알려 준 것|가르쳐 준 것|시간 내 준 것) (정말 |너무 |진심으로 |다 |)(고마워|고마워요|고맙다|감사해|감사합니다|감사드립니다)(|!|~)",
         "(큰 도움|많은 도움|정말 도움)(이|) (됐어|됐다|됐네|됐습니다|되었네요)(|!|, 고마워|. 감사해요|, 고맙습니다)"]),
    "how_are_you": (
        ["(Everything|All|Things|Life) (fine|good|okay|all right|well|great|OK) (on your end|in your world|with you|over there|there|at your end|today|at the moment|so far|in there)?",
         "(Is|Are) (everything|all|things|it all|life) (fine|good|okay|all right|well|going well|alright|in order) (with you|over there|there|today|for you|on your end)?",
         "(I hope|Hope) (you are|you're|all is|everything is|things are) (well|fine|good|okay|doing fine|all right)(| today|!|?|, Maru)",
         "(How|So how|Tell me, how) (are|have|is) (you|things|everything|it) (been|going|feeling|holding up|these days|lately|at the moment|this morning|tonight)(| with you| for you)?",
         "(How|So how|Hey, how) (are|is|was) (things|it all|your week|your weekend|your night|your evening|your mood|the mood|business)(| going)(| with you| there| over there| for you)?",
         "(Are you|You) (feeling|having) (good|well|fine|okay|a good day|a nice day|fun|a good time)(| today| right now)?"],
        ["(너|넌|너는|마루는|마루|거기|그쪽은|당신은) (요즘|오늘|지금|그동안|여전히|) (잘 지내|잘 지냈어|잘 지내셨나요|잘 지내는 거지|잘 지내고|어떻게 지냈어|어떤 기분이야|기분이 좋아|컨디션 좋아|괜찮은 거야|안녕하니|평안하신가요|무사해)?",
         "(어떻게|그동안|그간|요새|요즘은|오늘 하루) (지냈어|지냈니|지내셨어요|잘 지냈니|잘 있었니|잘 보냈어|잘 보내고 있어|평안했어|살 만해|재미있게 보냈어)(|, 마루야)?",
         "(모두|다|전부|거기는) (잘되고|괜찮고|별일 없고|잘 돌아가고) (있어|있지|있니|있나요)?",
         "(안부|잘 지내는지|기분이 어떤지|오늘 어땠는지|어떻게 지내는지) (물어보고 싶었어|궁금해|궁금했어|알고 싶어|묻고 싶어요)"]),
    "joke": (
        ["(Got|Have you got|Do you have|You got|Do you know|Have you heard|Know|Heard) (any|some|a|any clever|a few|any new|a good|any funny) (jokes|joke|puns|funny stories|one-liners)(| for me| to tell| today| to share| in store)?",
         "(I want|I'd like|I need|I would love|I am in the mood for|I feel like hearing|It's time for|How about|What about) (a|a good|another|some|one more|a silly) (joke|joke from you|laugh|pun|humour|fun)(|, please|?|!)",
         "(Can|Could|Will|Would) you (make|get) me (to |)(laugh|smile|giggle|grin)(| please| today| with a joke| a bit)?",
         "(Cheer me up|Entertain me|Amuse me|Crack a joke|Tell us a joke|Be funny|Say something that makes me laugh|Joke time)(| with a joke| please| now|!)",
         "(What is|What's|Tell me|Let me hear) (the funniest|your best|your favourite|your favorite|the best) joke(| you know| of yours)(|?)"],
        ["(웃긴|재미있는|재밌는|웃기는|우스운|빵 터지는|썰렁한|새로운) (얘기|이야기|농담|개그|유머|말|아재 개그)(| 하나| 좀| 하나만| 아무거나) (알아|아니|아는 거 있어|있어|있니|알고 있니|알려 줄래|해 줄래|들려줄래|없어|해 봐|말해 봐|부탁할게|할 수 있니)?",
         "(우울한데|지루한데|심심하니까|웃고 싶은데|기분이 별로인데|피곤한데) (농담|웃긴 얘기|개그|재미있는 말)(| 하나| 좀) (해 줘|들려줘|해 줄래|해 줄 수 있어|부탁해)(|?)",
         "(나|나를|저를|우리를|날) (좀 |한번 |빵 |)(웃겨 봐|웃게 해 줘|웃겨 줄래|웃겨 줄 수 있어|웃게 만들어 줘)(|!|?)",
         "(네가|너|마루가) (아는|제일 좋아하는|가장 웃긴|할 수 있는) (농담|개그|유머|웃긴 이야기)(을|를|은|) (말해 줘|뭐야|들려줘|해 봐|알려 줄래)(|?)"]),
    "morning": (
        ["(It is|It's) (dawn|early|a new day|a beautiful morning|a nice morning)(| here| already)(,|!|.|, so) (good morning|morning|a good morning)(| to you| Maru|!)"],
        ["(참|정말|오늘도|아주|날씨도) (좋은|상쾌한|맑은|즐거운|기분 좋은) 아침(이지|이네|이다|이에요|입니다|이구나|이죠)(|?|!|, 마루야)"]),
    "sorry": (["(I'm|I am|Im|So|Very|Really) (so |really |very |)sorry(| for that| about this| for the confusion| for the trouble| to bother you|, I misspoke|, I was wrong)"],
              ["(내가|제가) (잘못|실수)(했어|했네|했어요|했네요|한 것 같아)(|, 미안|. 미안해요|, 죄송해요)"]),
    "who": (
        ["(Could|Can|Would|Will) you (say|tell me|share|give me|write) (a few words|something|a bit|a little|a sentence|more|some words) (about|on) (yourself|who you are|what you are|your identity)(| please)?",
         "(Which|What) (AI model|AI|language model|chat model|LLM|assistant|system|bot) (is|sits|runs|works|hides|answers|responds|talks) (behind|in|here|behind this page|in this chat|behind this window|to me|me here|on this server|here)(| now| right now)?",
         "(I'd like|I want|I would like|I am curious) to know (who|what) (you are|you really are|I am talking to|answers me|is answering)(|.)",
         "(Let me|May I|Can I|Could I) (know|ask|hear|learn) (who you are|your name|what you are called|what your name is|what you are|who is there)(|?| please)",
         "(So|Well|Tell me|Hey|Now), (who|what) (exactly |actually |)(am I (talking|speaking|writing|chatting) (to|with)|is (this|that|it)|are you supposed to be|is replying to me)(| here| now)?",
         "(Please |)(reveal|state|give) (your identity|your name|who you are|yourself)(| please|!)", "Is (the model|the AI|the one) (here|answering|I am talking to|I'm chatting with) (EXAONE|Maru|a real model|a demo|a demo model)?"],
        ["(네|너의|당신의|니) (정체|이름|신분|소개)(를|을|가|) (밝혀 줘|밝혀 봐|밝혀 줄래|말해 봐|알려 줄래|알고 싶어|궁금하다|대 봐|공개해 줘|듣고 싶어요)(|!|?)",
         "(너|넌|당신은|이 챗봇은|여기 있는 너는) (도대체 |대체 |정확히 |그러니까 |) (누구길래|어떤 존재야|뭐 하는 존재니|어떤 녀석이야|누구라고 보면 돼|무슨 모델이니|어떤 인공지능이니|이름이 어떻게 되니|뭐라고 불리니)?",
         "(지금|여기서|나한테|저에게) (대답하는|답하는|말하는|얘기하는|대답해 주는|응답하는) (건|것은|모델은|사람은|AI는|너는) (누구야|누구니|뭐야|무슨 모델이야|어떤 모델인가요|누구인가요)?",
         "(너|네|당신)에 (대해|대해서|관해) (한마디|조금|간단히|몇 마디|더|짧게) (해 줘|소개해 줄래|말해 줄래|알려 줄 수 있어|알고 싶어|들려줘)(|?)"]),
    "not_exaone": (
        ["(is|Is it|Is this) (EXAONE|LG's EXAONE|an EXAONE model|EXAONE 3.5) (the model |the one |)(that I talk to|answering me|that answers|I am using|speaking|behind this|talking to me|replying)(| now| here| right now)?",
         "(I heard|I read|I think|I believe|Someone said|They say|I guess|I bet|I was told) (that |)(you are|you're|this is) (EXAONE|LG's EXAONE|the EXAONE model|an EXAONE|a model by LG|EXAONE 3.5)(|, is that so|, is that right|, true|, correct|, right|, aren't you|. Is it true)?"],
        ["(지금|여기서|나한테|이거) (대답하는|답하는|말하는|대답해 주는|쓰고 있는) (게|건|것은|모델이|거) (엑사원|EXAONE|LG 엑사원|LG 모델)(이야|이니|인가요|맞아|맞나요|이지|인 거야)?",
         "(엑사원|EXAONE|LG 엑사원)(이|이랑|하고|과) (나랑 얘기하는 거야|대화하는 거야|대답하는 거니|말하고 있는 건가요|얘기하고 있는 거지|이야기하는 중인가요)?"]),
    "not_other": (
        ["(I heard|I read|I think|I believe|Someone said|They say|I guess|I bet) (that |)(you are|you're|this is) (ChatGPT|GPT-4|GPT|Claude|Gemini|Llama|a GPT|Qwen|Grok)(|, is that true|, is that right|, true|, correct|, right|, aren't you|. Is it so)?",
         "(You|You are|You're|So you are|Surely you are) (probably |just |really |surely |)(ChatGPT|GPT-4|Claude|Gemini|Llama|Copilot)(| in disguise| underneath| inside|, right)?"],
        ["(너|너도|넌|당신도|이것도) (혹시 |사실 |그럼 |) (챗GPT|클로드|제미나이|GPT|라마|지피티|그록|딥시크) (같은|비슷한) (거야|건가|모델이야|모델이니|건가요|AI니|인공지능이야)?",
         "(챗GPT|클로드|제미나이|GPT-4|라마|딥시크)(라고|인 줄|라고 들었는데|인 것 같은데) (하던데 맞아|알았는데 아니야|사실이야|맞니|맞아|진짜야)?"]),
    "maker": (
        ["(Who|Whom) (should|can|do|must) I (thank|praise|credit|blame|ask|contact) for (making|creating|building|training|writing) you?",
         "(Who|Which people|Which project|What group) (is|are|was|were|stands|stood) (behind you|behind this model|behind your creation|responsible for you|the one who built you|the ones who made you)?",
         "(I'd like|I want) to know (who made you|who built you|who trained you|who created you|where you are from)(|.)", "(who is|who's|who was) the (person|group|guy|author) (that|who|to have) (made|created|trained|programmed|developed|built) (you|this model|this AI)(| first)?"],
        ["(너를|널|당신을|이 모델을) (만든|개발한|학습시킨|탄생시킨|세상에 내놓은) (이|사람|곳|팀|분|개발자|회사)(가|이|는|은) (누군지|어디인지|누구인지) (알려 줘|궁금해|알고 싶어|말해 줄래|아니)(|?)",
         "(너는|넌|당신은) (누구의 작품이야|누가 만든 거니|누구 손에서 태어났어|어디서 만든 모델이야|어디서 개발했니|누가 개발한 모델인가요|누가 학습시킨 거야)?"]),
    "abilities": (
        ["(Name|List|Tell me|Show me|Say|Explain|Write down|Describe) (the|some|all the|a few|which) (things|tasks|jobs|topics|subjects|questions) (you|that you|which you) (can do|are able to do|can handle|know about|can help with|are good at|can answer)(| please)",
         "(What|Which) (kind of |sort of |kinds of |)(things|tasks|work|questions|help|jobs|stuff) (can|could|may|do|would) you (do|handle|help with|offer|solve|take on|answer|help me with)(| here| for me)?",
         "(How|In what way|With what) (can|could|might|do) (you|a model like you) (be useful|be of help|help|assist|help me|help people|support me)(| today| here| out)?",
         "(I wonder|I'd like to know|Tell me|I want to know) (what you can do|what you are able to do|what I can ask you|what you can help with|what to ask you|how you can help me)(|.| here)"],
        ["(너한테|네게|당신에게|마루한테|너에게|여기에) (뭘|뭐를|무엇을|어떤 걸|무슨 일을|뭐) (시켜도 돼|시키면 돼|부탁할 수 있어|부탁하면 돼|맡길 수 있나요|물어볼 수 있어|물어봐도 돼|시킬 수 있어|부탁해도 되는지 알려 줘|물어볼 수 있는지 알려 줘|맡길 수 있는지 궁금해)?",
         "(네가|당신이|너는|마루가|이 모델이) (할 줄 아는|할 수 있는|잘하는|도와줄 수 있는|대답할 수 있는) (게|건|것은|일이|것들을|일을|거|걸) (뭐야|뭐니|뭐가 있니|무엇인가요|알려 줄래|말해 줄래|소개해 줄래|알려 줘|나열해 줘|다 말해 봐)(|?)",
         "(어떤|무슨) (일|것|질문|도움|작업)(을|를|까지|) (해 줄 수 있어|할 수 있는지 알려 줘|도와줄 수 있니|줄 수 있어|할 줄 아니|처리할 수 있나요|맡을 수 있어)?"]),
    "human": (
        ["(Are you|Is this|Is there) (a |really a |)(human|person|man|woman|people|living person|real person) (on the other side|behind this|writing this|there|typing)?"],
        ["(사람이|인간이|진짜 사람이) (대답하는|쓰는|말하는|답하는) (거야|거니|건가요|거 맞아)?"]),
    "start": (
        ["(Give|Show|Send|Write|Tell|Hand) me the (shell |terminal |command |)(line|command|instruction|commands) (that|which|to|I need to) (start|run|launch|use for|boot|bring up|serve with) (Maru|the server|the Maru server)(| please)",
         "(What|Which command) (must|should|would|can|shall) I (enter|write|execute|use|run|put in) (in the terminal |in the shell |) (so that Maru starts|to get Maru going|to run Maru|to start the server|to boot the server|to try Maru)?",
         "(I|We) (installed|downloaded|built|have) Maru(,|.) (how do I start it|now what|how do I run it|what is the next step|how can we launch it)?", "(Steps|Instructions|Guide|Help) (for|to|with) (starting|running|launching|start|run) (Maru|the server)(| please)"],
        ["(마루|서버|마루 서버|이 서버)(는|를|을|) (어떻게|어떤 명령으로|뭐로|무슨 명령어로) (띄우는 거야|켜는 거예요|시작하는 거야|돌리는 건가요|실행하는 거니|구동하는 거지|올리는 거예요|켤 수 있어|띄울 수 있나요|시작할 수 있어|기동하나요)?",
         "(마루|서버|마루 서버)(를|) (켤|띄울|돌릴|시작할|구동할|실행할) 때 (뭘 입력해|무슨 명령어를 써|뭐라고 쳐야 해|어떤 명령을 쓰나요|터미널에 뭘 치면 돼)?",
         "(마루를|서버를) (설치했는데|받았는데|빌드했는데) (어떻게 켜|이제 뭘 해야 해|어떻게 실행하나요|다음은 뭐야|어떻게 시작해)?"]),
    "load": (
        ["(Which|What) (flag|option|argument|switch|parameter|setting) (picks|chooses|selects|sets|loads|changes|is for|do I use for) (another model|the model|a different model|EXAONE|a real model|a bigger model|the EXAONE model|my own model)(|, for example EXAONE| with Maru| of the server| when starting)?",
         "(How|In which way) (can|do|could|would) (I|we|one) (replace|swap|exchange|change) (the demo|the demo model|this model|this tiny model|you) (with|by|for|against) (EXAONE|a real model|a real EXAONE|a bigger one|another model|a better model)?",
         "(I'm|I am|We are) (done with the demo|ready for a real model|tired of the demo model|looking for the real thing)(,|.) (how do I load EXAONE|which command loads EXAONE|how do I switch|what now)?"],
        ["(엑사원|EXAONE|엑사원 3.5|EXAONE 3.5|진짜 모델|다른 모델|더 큰 모델)(을|를|) (마루에서|마루로|이 서버에서|여기서) (돌리는|쓰는|띄우는|서빙하는|실행하는) (명령|명령어|방법|법|옵션)(이|을|은|를|) (뭐니|궁금해요|알고 싶어|알려 줄래|뭔지 알려 줘|뭐였지|필요해)(|?)",
         "(데모|데모 모델|이 작은 모델|너) (말고|대신|대신에) (엑사원|EXAONE|진짜 모델|실제 모델|큰 모델|다른 모델)(을|를|로|) (쓰려면|띄우려면|쓰고 싶은데|바꾸려면|돌리려면|바꾸고 싶어요)(| 어떻게 해| 어떻게 하면 돼| 방법 알려 줘| 뭘 입력해)(|?)"]),
    "api": (
        ["(Where|To which path|To what address|To which endpoint|On which path|At which URL) (can|should|do|must|may|could) (I|we|my app|my program|a client) (send|post|direct|submit|make|put) (a chat completion|a chat request|chat completions|my messages|a request|a completion request|an API call|a chat completion call)(| to)?",
         "(Is|Are|So is) (the API here|the API|Maru's API|this API|the interface|your endpoints) (the same as|like|identical to|similar to|equal to|compatible with) (OpenAI's|that of OpenAI|the one of OpenAI|the OpenAI API|OpenAI)(|, or not)?",
         "(Which|What) (endpoint|path|route|URL|HTTP path) (is|do I use|should I use|must I call|takes|accepts|serves) (for chat|for chat requests|chat messages|for chat completions|for talking to the model|for conversations)?"],
        ["(채팅|대화|메시지|채팅 완성|API) (요청|호출)(은|을|) (어느 경로로|어디에다|어떤 URL로|어느 엔드포인트로|무슨 주소로) (하면 돼|보내면 되나요|보내는 거야|해야 해|하나요|날리면 돼)?",
         "(API|마루 API|이 API|인터페이스)(는|가) (OpenAI|오픈AI|챗GPT API)(랑|와|하고|것과) (같아|똑같아|같은가요|비슷해|호환되는 거야|같은 형식이야)?"]),
    "streaming": (
        ["(I want|I'd like|I need|I would like|We want|We need) (the |)(tokens|words|answer|answers|text|output|reply) (to arrive|to come|to appear|to show up|delivered|sent|streamed) (one by one|piece by piece|bit by bit|token by token|word by word|live|as they are made|immediately|while it is written)(|.|, is that possible|. Can Maru do that|. Does Maru do that|, how)?",
         "(Can|Does|Will|Could) (Maru|the server|it|this server) (send|deliver|return|show|give|print) (me |)(tokens|each token|every token|the tokens|words|the answer|partial answers|the text|answers) (one by one|piece by piece|token by token|as they come|live|in real time|bit by bit|while generating|immediately)?",
         "(Do I|Must I|Should I|Will I) (have to |)(wait|wait for the whole answer|wait until the answer is complete|get the answer all at once)(|, or can it stream|, or is there streaming|, or are there streams)?"],
        ["(답|답변|대답|토큰|글자|결과)(이|가|을|를) (한 글자씩|조금씩|하나하나|차례로|토큰 단위로|생성되는 대로|나오는 대로|실시간으로|바로바로) (나오게|받게|보이게|오게|볼 수|받을 수|출력되게) (할 수 있어|해 줄 수 있어|하려면|하고 싶어|있어|있나요|되나요)?"]),
    "batching": (
        ["(What happens|What does Maru do|How does it work) (when|if|with) (many|several|a hundred|lots of|ten|multiple) (users|people|clients|requests) (come|ask|arrive|connect|write|send something)(| at once| at the same time| together)?"],
        ["(사용자|사람|손님|요청|접속자)(가|이|) (많아도|몰려도|여럿이어도|백 명이어도|한꺼번에 와도|동시에 와도) (다 |한 번에 |동시에 |같이 |)(처리돼|처리할 수 있니|감당할 수 있어|괜찮아|처리되나요|대답할 수 있어|버틸 수 있나요)?"]),
    "hardware": (
        ["(Will|Does|Can|Would|Could) (it|Maru|the server|this|this server) (run|work|go|start|be used) (on|with) (a|an old|my old|an ordinary|a cheap|my work|my small) (laptop|PC|computer|notebook|desktop|server|machine)(| without a graphics card| without a GPU| that has no GPU| with no GPU| without CUDA)?",
         "(I have|I've got|We have|My machine has|There is) (no|no real|only an old) (GPU|graphics card|NVIDIA card|video card)(,|.) (is that fine|does Maru run|can I use Maru|is that a problem|will it work)?", "(Does|Will|Can) Maru (support|use|work with|speed up with) (GPUs|a GPU|my GPU|CUDA|an NVIDIA card|graphics cards)(| yet| today| now)?"],
        ["(내|제|오래된|그냥|보통|일반) (노트북|컴퓨터|PC|맥북|서버)(에서|에서도|으로|로) (마루가 |마루를 |이 서버를 |) (돌아가|돌릴 수 있어|돌아갈까|쓸 수 있나요|실행될까|돼|될까요|돌려도 돼)?",
         "(GPU|그래픽 카드|그래픽카드|엔비디아 카드)(가|는|도|) (없는데|없으면|하나도 없어도|없는 컴퓨터인데) (쓸 수 있어|괜찮을까|안 되나요|돌아가나요|마루를 쓸 수 있을까|문제없어)?"]),
    "licence": (
        ["(Do|Must|Should|Will) (I|we) (have to |need to |)(pay|buy a licence|pay a fee|pay money|pay anything) (for|to use) (Maru|the server|it|this model)?"],
        ["(마루|마루 서버|이 서버|너)(를|을|는|) (쓰려면|사용하려면|이용하려면|쓰는 데|사용할 때) (돈이 들어|요금이 있어|비용이 드나요|돈을 내야 하나|결제해야 해|비용이 얼마야|돈이 필요해)?"]),
    "docker": (
        ["(Can|Could|May|How do) (I|we) (deploy|ship|host|package|bring) (Maru|it|the server) (as|in|inside|into|with) (a container|containers|Docker|a Docker image|an image)(|?| on my server?)"],
        ["(컨테이너|도커|도커 이미지|Docker) (형태로|환경에서|로|안에) (배포할 수 있나요|배포해도 돼|배포되나요|올릴 수 있어|띄우는 것도 돼|돌리는 것도 되니|설치할 수 있어)?"]),
    "sdk": (
        ["(What|Which setting|Which value) (do|must|should) I (change|set|adapt|edit|configure) (in|for) (the OpenAI SDK|my OpenAI client|my OpenAI code|the openai library|my Python code|the client) (to use Maru|to reach Maru|for Maru|to talk to this server|to connect)?"],
        ["(OpenAI SDK|오픈AI SDK|openai 패키지|파이썬 클라이언트|OpenAI 클라이언트|SDK)(로|에서|를) (접속할 때|연결할 때|쓸 때|사용할 때|붙이려면|접속하려면) (뭘|무엇을|뭐를|어떤 값을|어디를) (바꿔|바꾸나요|설정해|고쳐야 해|수정하면 돼|설정해야 하나요|넣어)?"]),
}


def add_to(intents: dict) -> dict:
    """The intents with these wordings behind their own."""
    return {name: {lang: (entry[lang][0] + MORE.get(name, ([], []))[i], entry[lang][1]) for i, lang in enumerate(("en", "ko"))}
            for name, entry in intents.items()}
