//! Why parameters are not honoured: in English a clause that follows a colon, in Korean a sentence, both without the full
//! stop.

use crate::api::wording::{Reason, because};

pub(super) const ANOTHER_SERVERS: Reason = because("they are another server's", "다른 서버의 매개변수입니다");
pub(super) const AS_THEY_COME: Reason =
    because("inputs are streamed as they come", "도구 입력은 생성되는 대로 스트리밍합니다");
pub(super) const BY_TEMPLATE: Reason =
    because("the chat template says what of it is shown", "추론을 얼마나 보여 줄지는 채팅 템플릿이 정합니다");
pub(super) const CALLED_INPUT: Reason =
    because("they are called 'input' here", "여기서는 'input' 매개변수를 써 주십시오");
pub(super) const CALLED_MAX_OUTPUT_TOKENS: Reason =
    because("it is called 'max_output_tokens' here", "여기서는 'max_output_tokens' 매개변수를 써 주십시오");
pub(super) const CALLED_MAX_TOKENS: Reason =
    because("it is called 'max_tokens' here", "여기서는 'max_tokens' 매개변수를 써 주십시오");
pub(super) const CALLED_OUTPUT_CONFIG: Reason = because(
    "it is called 'output_config.format' here",
    "여기서는 'output_config.format' 매개변수를 써 주십시오",
);
pub(super) const CALLED_STOP_SEQUENCES: Reason =
    because("they are called 'stop_sequences' here", "여기서는 'stop_sequences' 매개변수를 써 주십시오");
pub(super) const CALLED_TOOLS: Reason =
    because("they are called 'tools' here", "여기서는 'tools' 매개변수를 써 주십시오");
pub(super) const CALLS_OF_ASSISTANTS: Reason =
    because("only an assistant calls tools", "도구 호출은 어시스턴트 메시지에만 쓸 수 있습니다");
pub(super) const CHATS_NOT_STORED: Reason =
    because("chat completions are not stored", "대화 응답은 저장하지 않습니다");
pub(super) const COMPLETIONS_NOT_STORED: Reason =
    because("completions are not stored", "생성한 텍스트는 저장하지 않습니다");
pub(super) const ENCRYPTED: Reason =
    because("only who encrypted it can read it", "암호화한 쪽만 읽을 수 있는 값입니다");
pub(super) const EVERY_TOOL: Reason = because("every tool is shown", "모든 도구를 항상 보여 줍니다");
pub(super) const IN_A_HEADER: Reason =
    because("send it as the header 'x-request-id'", "'x-request-id' 헤더로 보내 주십시오");
pub(super) const LOGPROBS_BY_INCLUDE: Reason = because(
    "name 'message.output_text.logprobs' in 'include'",
    "'include' 값에 'message.output_text.logprobs' 항목을 넣어 주십시오",
);
pub(super) const MESSAGES_OR_PROMPT: Reason =
    because("a request has messages or a prompt", "요청에는 메시지와 프롬프트 중 하나만 보낼 수 있습니다");
pub(super) const NONE_HERE: Reason = because("there are none", "이 서버에는 없는 기능입니다");
pub(super) const NOT_BY_TYPICALITY: Reason = because(
    "tokens are not chosen for how typical they are",
    "전형성을 기준으로 한 토큰 선택은 제공하지 않습니다",
);
pub(super) const NOT_PADDED: Reason = because("chunks are not padded", "스트림 조각에 패딩을 넣지 않습니다");
pub(super) const NOT_SHORTENED: Reason =
    because("conversations are not shortened", "대화를 자동으로 줄이지 않습니다");
pub(super) const NOT_SHOWN: Reason =
    because("the chat template does not show it", "채팅 템플릿에 나타나지 않는 값입니다");
pub(super) const NOT_TOLD: Reason = because("responses do not tell them", "응답에 담기지 않는 정보입니다");
pub(super) const NO_ADAPTERS: Reason = because("the model has no adapters", "모델에 어댑터가 없습니다");
pub(super) const NO_BACKENDS: Reason =
    because("there is one way of holding an output to a form", "출력을 형식에 맞추는 방식은 한 가지뿐입니다");
pub(super) const NO_BACKGROUND: Reason =
    because("answers are not made in the background", "백그라운드에서 답변하는 기능은 없습니다");
pub(super) const NO_BEAM_SEARCH: Reason =
    because("beam search is not implemented", "빔 서치는 구현되어 있지 않습니다");
pub(super) const NO_CACHE_CONTROL: Reason = because(
    "requests do not choose what is cached, nor for how long",
    "무엇을 얼마나 오래 캐시할지는 요청에서 정할 수 없습니다",
);
pub(super) const NO_CODE: Reason = because("the server runs no code", "서버는 코드를 실행하지 않습니다");
pub(super) const NO_CONVERSATIONS: Reason = because(
    "texts and token ids are embedded; render a conversation first",
    "텍스트와 토큰 ID만 임베딩합니다. 대화는 먼저 렌더링해 주십시오",
);
pub(super) const NO_GAPS: Reason = because(
    "the model continues a text, it does not fill gaps",
    "모델은 텍스트를 이어 쓸 뿐 중간을 채우지 않습니다",
);
pub(super) const NO_INPUT_TYPES: Reason = because(
    "the model makes no difference between questions and documents",
    "모델은 질문과 문서를 구별하지 않습니다",
);
pub(super) const NO_ITEMS: Reason = because(
    "a conversation is 'input' and 'previous_response_id' here",
    "대화는 'input' 값과 'previous_response_id' 값으로 보내 주십시오",
);
pub(super) const NO_MODERATION: Reason =
    because("answers are not moderated", "답변의 유해성을 검사하지 않습니다");
pub(super) const NO_OTHER_SERVERS: Reason =
    because("the server calls no other servers", "서버는 다른 서버를 호출하지 않습니다");
pub(super) const NO_PROFILES: Reason = because("there are no profiles", "이 서버에는 프로필이 없습니다");
pub(super) const NO_PROMPT_TEMPLATES: Reason =
    because("the server keeps no prompt templates", "서버는 프롬프트 템플릿을 저장하지 않습니다");
pub(super) const NO_SUMMARY: Reason =
    because("reasoning is shown as it is, not in a summary", "추론은 요약하지 않고 그대로 보여 줍니다");
pub(super) const NO_TEMPLATE_CONTROL: Reason =
    because("the chat template is the model's own", "채팅 템플릿은 모델에 딸린 것만 씁니다");
pub(super) const NO_TIER: Reason = because("there is no such tier here", "이 서버에는 그런 등급이 없습니다");
pub(super) const NO_VERBOSITY: Reason =
    because("the model knows no verbosity", "모델에 답변 길이를 조절하는 기능이 없습니다");
pub(super) const NO_WATERMARK: Reason = because("outputs bear no mark", "출력에 워터마크를 넣지 않습니다");
pub(super) const NO_WEB_SEARCH: Reason =
    because("the server does not search the web", "서버는 웹을 검색하지 않습니다");
pub(super) const NO_WORKSPACES: Reason =
    because("there are no workspaces", "이 서버에는 워크스페이스가 없습니다");
pub(super) const OF_JSON_SCHEMA: Reason =
    because("it belongs to the type 'json_schema'", "'json_schema' 형식에만 쓰는 값입니다");
pub(super) const ONE_LENGTH: Reason = because(
    "the model's vectors have one length and no shorter ones inside",
    "모델의 벡터는 길이가 정해져 있어 줄일 수 없습니다",
);
pub(super) const ONE_MESSAGE: Reason = because("a message is one answer", "메시지마다 답변은 하나입니다");
pub(super) const ONE_MODE: Reason = because("there is one mode", "모드는 한 가지뿐입니다");
pub(super) const ONE_PLACE: Reason =
    because("prefill and decode happen in one place", "프리필과 디코드를 한곳에서 처리합니다");
pub(super) const ONE_REGION: Reason =
    because("the server runs where it runs", "서버가 실행되는 곳은 요청에서 고를 수 없습니다");
pub(super) const ONE_RESPONSE: Reason = because("a response is one answer", "응답마다 답변은 하나입니다");
pub(super) const ONE_SPEED: Reason = because("there is one speed", "속도는 한 가지뿐입니다");
pub(super) const ONLY_N: Reason = because("only 'n' choices are made", "답변은 'n' 값만큼만 만듭니다");
pub(super) const ONLY_THE_MODEL: Reason = because("only the model calls tools", "도구는 모델만 호출합니다");
pub(super) const OTHER_ROUTE: Reason =
    because("ask at '/generate_stream' for a stream", "스트림은 '/generate_stream' 주소로 요청해 주십시오");
pub(super) const REPETITION: Reason = because(
    "only reasoning that repeats itself is ended, and that always",
    "반복되는 추론만 중단하며, 이는 항상 적용됩니다",
);
pub(super) const SAY_IN_SCHEMA: Reason = because("say so in the schema", "스키마에 직접 적어 주십시오");
pub(super) const SEND_FEWER: Reason = because(
    "conversations are not shortened; send fewer items",
    "대화를 자동으로 줄이지 않습니다. 항목을 줄여서 보내 주십시오",
);
pub(super) const TAGS_OF_TOOLS: Reason =
    because("only tools have structural tags", "구조 태그는 도구에만 쓰입니다");
pub(super) const TEXT_ONLY: Reason =
    because("the model takes and gives text only", "모델은 텍스트만 입력받고 출력합니다");
pub(super) const TOKENS_AS_THEY_ARE: Reason =
    because("tokens are shown as they are", "토큰은 있는 그대로 보여 줍니다");
pub(super) const UNIT_VECTORS: Reason = because("vectors have length 1", "벡터의 크기는 항상 1입니다");
pub(super) const UNKNOWN: Reason =
    because("the server does not know it", "서버가 알지 못하는 매개변수입니다");
