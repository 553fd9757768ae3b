"""A headless Chromium with a sound file as its microphone, driven by its own protocol; records sound."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.sync.client import connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing; apt-get install chromium")

RECORDER = """
window.recorded = { played: [], heard: [], rate: 0 };
function tap(node, side) {
  const taps = node.context.createScriptProcessor(1024, 1, 1);
  taps.onaudioprocess = (event) => {
    const samples = Array.from(event.inputBuffer.getChannelData(0));
    recorded[side].push({ at: event.playbackTime, samples });
    recorded.rate = node.context.sampleRate;
  };
  connectNode.call(node, taps);
  connectNode.call(taps, node.context.destination);
}
const connectNode = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...rest) {
  if (target === this.context.destination) tap(this, "played");
  if (this instanceof MediaStreamAudioSourceNode) tap(this, "heard");
  return connectNode.call(this, target, ...rest);
};
"""


class Page:
    """One tab."""

    def __init__(self, address: str) -> None:
        self._socket = connect(address, max_size=None, open_timeout=60).__enter__()  # ends with the browser
        self._ids = count(1)
        self.log: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.command(f"{domain}.enable")
        self.command("Page.addScriptToEvaluateOnNewDocument", source=RECORDER)

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=120))
            entry = message.get("params", {}).get("entry", {})
            if message.get("method") == "Runtime.exceptionThrown" or entry.get("level") == "error":
                self.log.append(json.dumps(message["params"]))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def run(self, script: str) -> Any:
        """The value of an expression."""
        answer = self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, script: str, within_s: float = 60.0) -> None:
        """Until an expression is true."""
        end_s = time.monotonic() + within_s
        while not self.run(script):
            assert time.monotonic() < end_s, f"never: {script}\n{self.text('talk')}\n{self.log}"
            time.sleep(0.1)

    def open(self, url: str) -> None:
        self.command("Page.navigate", url=url)
        self.wait(
            "document.readyState === 'complete' && document.getElementById('start')?.textContent !== ''"
        )

    def click(self, name: str) -> None:
        self.run(f"document.getElementById('{name}').click()")

    def text(self, name: str) -> str:
        return self.run(f"document.getElementById('{name}').innerText") or ""

    def state(self) -> str:
        return self.run("document.getElementById('state').dataset.state")

    def sound(self, side: str) -> tuple[np.ndarray, int]:
        """What was `played` or `heard`, on the time of the page's audio, and its rate."""
        rate = self.run("recorded.rate")
        blocks = self.run(f"recorded.{side}")
        if not blocks:
            return np.zeros(0, np.float32), 48000
        end = max(round(block["at"] * rate) + len(block["samples"]) for block in blocks)
        sound = np.zeros(end, np.float32)
        for block in blocks:
            first = round(block["at"] * rate)
            sound[first : first + len(block["samples"])] = block["samples"]
        return sound, rate

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot")["data"]))


class Browser:
    """A running Chromium."""

    def __init__(self, profile: Path) -> None:
        self.profile = profile

    @property
    def address(self) -> str:
        port, path = (self.profile / "DevToolsActivePort").read_text().splitlines()[:2]
        return f"ws://127.0.0.1:{port}{path}"

    def new_page(self) -> Page:
        with connect(self.address, open_timeout=60) as socket:
            socket.send(
                json.dumps({"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}})
            )
            while (message := json.loads(socket.recv(timeout=60))).get("id") != 1:
                pass
        root = self.address.split("/devtools/")[0]
        return Page(f"{root}/devtools/page/{message['result']['targetId']}")


@contextmanager
def browser(folder: Path, microphone: np.ndarray | None) -> Iterator[Browser]:
    """Runs Chromium; with a microphone that plays 16 kHz samples once, or one that is denied."""
    assert CHROMIUM is not None
    sound = folder / "microphone.wav"
    soundfile.write(sound, np.zeros(1600) if microphone is None else microphone, 16000)
    allowed = [] if microphone is None else ["--use-fake-ui-for-media-stream"]
    profile = folder / "profile"
    command = [
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        "--autoplay-policy=no-user-gesture-required",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={sound}%noloop",
        *allowed,
        f"--user-data-dir={profile}",
        "--remote-debugging-port=0",
        "--window-size=800,900",
        "--lang=en-US",
        "about:blank",
    ]
    with (folder / "chromium.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        end_s = time.monotonic() + 60
        while not (profile / "DevToolsActivePort").exists():
            assert time.monotonic() < end_s, (folder / "chromium.log").read_text()
            time.sleep(0.1)
        time.sleep(0.5)
        yield Browser(profile)
    finally:
        process.terminate()
        process.wait(30)
