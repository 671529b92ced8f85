"""A headless Chromium driven over its DevTools protocol, for tests of the listening page."""

import asyncio
import json
import shutil
import subprocess
import time

import aiohttp

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --autoplay-policy=no-user-gesture-required --remote-debugging-port=0
--disable-dev-shm-usage""".split()
PATIENCE = 600  # s; only what is broken takes that long, on a busy machine too


def find_chromium():
    """Path of Chromium or Chrome, None when there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page:
    """One page in a browser of its own.

    Args:
        profile (Path): new, empty folder for the browser's profile.
    """

    def __init__(self, profile):
        self.profile, self.events, self.count, self.answers = profile, [], 0, {}

    async def __aenter__(self):
        command = [find_chromium(), *FLAGS, f"--user-data-dir={self.profile}", "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.session = aiohttp.ClientSession()
        port_file = self.profile / "DevToolsActivePort"
        await wait_for(lambda: port_file.exists() and len(port_file.read_text().split()) == 2, self.process)
        port = port_file.read_text().split()[0]
        async with self.session.get(f"http://127.0.0.1:{port}/json") as reply:
            target = next(item for item in await reply.json() if item["type"] == "page")
        self.socket = await self.session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0)
        self.reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *error):
        self.reader.cancel()
        await self.session.close()
        self.process.terminate()
        self.process.wait()

    async def _read(self):
        async for message in self.socket:
            message = json.loads(message.data)
            if "id" in message:
                self.answers.pop(message["id"]).set_result(message)
            else:
                self.events.append(message)

    async def send(self, method, **params):
        """Send one command and return its result."""
        self.count += 1
        self.answers[self.count] = answer = asyncio.get_running_loop().create_future()
        await self.socket.send_json({"id": self.count, "method": method, "params": params})
        message = await asyncio.wait_for(answer, PATIENCE)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']['message']}")
        return message["result"]

    async def open(self, url):
        """Load a page, with its network requests and errors recorded in :attr:`events`."""
        for domain in ("Network", "Runtime", "Log", "Page"):
            await self.send(f"{domain}.enable")
        await self.send("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def run(self, script):
        """Value of a JavaScript expression; a promise is awaited."""
        result = await self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"].get("exception", {}).get("description", script))
        return result["result"].get("value")

    async def until(self, script, seconds=PATIENCE):
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not await self.run(script):
            if time.monotonic() > end:
                raise TimeoutError(f"still not true: {script}")
            await asyncio.sleep(0.05)

    async def key(self, key, shift=False):
        """Press and release a key."""
        text = {"text": key} if len(key) == 1 else {}
        code = {" ": "Space"}.get(key, key)
        for kind in ("keyDown", "keyUp"):
            await self.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=code,
                modifiers=8 if shift else 0,
                **(text if kind == "keyDown" else {}),
            )

    def requested(self):
        """Addresses of all requests since :meth:`open`."""
        return [
            event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"
        ]

    def errors(self):
        """Uncaught exceptions and error lines of the console."""
        wanted = {"Runtime.exceptionThrown", "Log.entryAdded"}
        return [
            event["params"]
            for event in self.events
            if event["method"] in wanted and event["params"].get("entry", {}).get("level", "error") == "error"
        ]


async def wait_for(condition, process):
    """Wait until a Python condition is true, as long as the process lives."""
    while not condition():
        if process.poll() is not None:
            raise RuntimeError(f"the browser ended by itself with {process.returncode}")
        await asyncio.sleep(0.05)
