// What the page says, in both languages.

const texts = {
  en: {
    controls: "Controls",
    start: "Start talking",
    stop: "End",
    mute: "Mute",
    interrupt: "Interrupt",
    save: "Save transcript",
    voice: "Voice",
    token: "Token",
    you: "You",
    agent: "Agent",
    conversation: "Conversation",
    type: "Type something",
    send: "Send",
    idle: "not connected",
    connecting: "connecting",
    listening: "listening",
    hearing: "hearing you",
    thinking: "thinking",
    speaking: "speaking",
    muted: "muted",
    denied: "The microphone was denied. Allow it in the browser to talk; you can type meanwhile.",
    noMicrophone: "There is no microphone here. You can type.",
    insecure: "The browser gives the microphone only to pages of this machine or over TLS. You can type.",
    lost: "The connection was closed.",
    unauthorized: "The server did not let this page in. If it needs a token, enter it and start again.",
    waited: (total, parts) => `You waited ${total} s (${parts}).`,
    silence: "silence", computing: "computing", buffer: "sound buffer",
  },
  zh: {
    controls: "控制",
    start: "開始對話",
    stop: "結束",
    mute: "靜音",
    interrupt: "打斷",
    save: "儲存逐字稿",
    voice: "聲音",
    token: "權杖",
    you: "你",
    agent: "代理",
    conversation: "對話",
    type: "打字",
    send: "送出",
    idle: "未連線",
    connecting: "連線中",
    listening: "聆聽中",
    hearing: "正在聽你說",
    thinking: "思考中",
    speaking: "說話中",
    muted: "已靜音",
    denied: "麥克風被拒絕。請在瀏覽器中允許後再說話；現在可以打字。",
    noMicrophone: "這裡沒有麥克風，可以打字。",
    insecure: "瀏覽器只讓本機或 TLS 的頁面使用麥克風。可以打字。",
    lost: "連線已關閉。",
    unauthorized: "伺服器沒有讓這個頁面進入。需要權杖的話，請填寫後重新開始。",
    waited: (total, parts) => `你等了 ${total} 秒（${parts}）。`,
    silence: "安靜", computing: "運算", buffer: "聲音緩衝",
  },
};

let language = localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");

export const say = (name) => texts[language][name];

export function switchLanguage() {
  language = language === "en" ? "zh" : "en";
  localStorage.setItem("language", language);
}

// Fills every element that names a text, and the button that switches.
export function showTexts() {
  document.documentElement.lang = language === "en" ? "en" : "zh-Hant";
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = say(element.dataset.text);
  }
  const button = document.getElementById("language");
  button.textContent = language === "en" ? "正體中文" : "English";
  button.lang = language === "en" ? "zh-Hant" : "en";
  document.getElementById("text").placeholder = say("type");
}
