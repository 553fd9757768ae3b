"""A stand-in for PortAudio, whose devices come and go as the test says."""

from types import SimpleNamespace

import numpy as np

from taste_agent.audio.devices import Device, DeviceList, Routes

BLOCK = 320
NO_FLAGS = SimpleNamespace(input_overflow=False, output_underflow=False)
UNDERFLOW = SimpleNamespace(input_overflow=False, output_underflow=True)
NO_TIMES = SimpleNamespace(inputBufferAdcTime=0.0, outputBufferDacTime=0.0, currentTime=0.0)


class FakeStream:
    """A stream that calls back when the test gives or takes samples."""

    def __init__(self, backend, direction, device, rate_hz, channels, block, callback):
        self.backend, self.direction, self.device = backend, direction, device
        self.rate_hz, self.channels, self.block, self.callback = rate_hz, channels, block, callback
        self.active, self.is_open = False, True

    def start(self):
        if error := self.backend.start_errors.get(self.rate_hz):
            raise error
        self.active = True

    def close(self):
        self.active = self.is_open = False
        if self.backend.close_error:
            raise self.backend.close_error

    def give(self, samples):
        self.callback(samples.reshape(-1, 1).astype(np.float32), samples.size, NO_TIMES, NO_FLAGS)

    def take(self, count=BLOCK, flags=NO_FLAGS):
        out = np.zeros((count, self.channels), dtype=np.float32)
        self.callback(out, count, NO_TIMES, flags)
        return out[:, 0]


class FakeBackend:
    """Devices that can be taken away, each for one stream at a time; `opened` keeps every stream.

    `present` says in the order of the list which are there; "box" is a loudspeaker, the others microphones.
    """

    def __init__(self, rates=(16000,), channels=(1, 2)):
        self.present = {"mic": True, "box": True}
        self.rates, self.channels = rates, channels
        self.start_errors, self.close_error = {}, None
        self.opened, self.refreshed = [], 0
        self.routed, self.asked = None, 0

    @property
    def open_streams(self):
        """How many were not closed."""
        return sum(stream.is_open for stream in self.opened)

    def list_devices(self):
        names = [name for name, there in self.present.items() if there]
        devices = tuple(
            Device(index, name, "X", *((0, 2) if name == "box" else (2, 0)), 48000)
            for index, name in enumerate(names)
        )
        default = {name: index for index, name in enumerate(names)}
        return DeviceList(devices, default.get("mic"), default.get("box"))

    def refresh(self):
        self.refreshed += 1

    def routes(self):
        self.asked += 1
        if self.routed is None:
            return None
        playing = any(stream.active for stream in self.opened if stream.direction == "output")
        return self.routed if playing else Routes(self.routed.source, None)

    def open(self, direction, device, rate_hz, channels, block, callback):
        if rate_hz not in self.rates or channels not in self.channels:
            raise OSError("Invalid sample rate")
        if any(stream.is_open and stream.device.name == device.name for stream in self.opened):
            raise OSError("Device unavailable")
        self.opened.append(FakeStream(self, direction, device, rate_hz, channels, block, callback))
        return self.opened[-1]

    def last(self, direction):
        return [stream for stream in self.opened if stream.direction == direction][-1]
