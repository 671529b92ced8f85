"""What holds the threads of a run together: bounded streams that break off, and a desk that lets nobody wait for ever."""

import threading

import pytest
import torch

from asteroid_bsrnn.separation.many.bounded import Bounded, GivenUp
from asteroid_bsrnn.separation.many.desk import Desk, Stopped


def test_a_stream_is_bounded_and_keeps_its_order():
    stream, got = Bounded(3), []

    def fill():
        for number in range(100):
            stream.put(number)
            assert len(stream.items) <= 3
        stream.end()

    thread = threading.Thread(target=fill)
    thread.start()
    got.extend(stream)
    thread.join()
    assert got == list(range(100))


def test_an_error_goes_to_whoever_takes_and_giving_up_to_whoever_puts():
    stream = Bounded(2)
    stream.put(1)
    stream.end(ValueError("broken"))
    stream.end()  # the first word holds
    with pytest.raises(ValueError, match="broken"):
        next(iter(stream))
    full = Bounded(1)
    full.put(1)
    threading.Timer(0.05, full.give_up).start()
    with pytest.raises(GivenUp):
        full.put(2)


def asking(desk, wavs, answers):
    """A thread that asks for passes and keeps what comes."""

    def run():
        try:
            answers.extend(desk.ask(wav, 0)[0] for wav in wavs)
        except Stopped as error:
            answers.append(error)

    return desk.work(run, asks=True)


def served(desk, threads):
    for thread in threads:
        thread.start()
    try:
        desk.serve()
    finally:
        desk.stop()
        for thread in threads:
            thread.join()


def test_what_several_ask_for_shares_passes_when_all_wait():
    sizes, answers = [], [[], [], []]

    def forward(wav, layout):
        sizes.append(len(wav))
        return wav[:, None] * 2

    desk = Desk(forward, 3, None)
    wavs = [torch.full((1, 1, 4), float(number)) for number in range(3)]
    served(desk, [asking(desk, [wav] * 5, got) for wav, got in zip(wavs, answers)])
    assert sum(sizes) == 15 and max(sizes) <= 3 and sizes[0] == 3
    for wav, got in zip(wavs, answers):
        assert len(got) == 5 and all(torch.equal(each, wav[:, None] * 2) for each in got)


def test_nobody_waits_for_ever_when_telling_fails():
    """The request was taken from the queue and its pass never came."""

    def tell(outcome):
        raise KeyboardInterrupt

    desk, answers = Desk(lambda wav, layout: wav[:, None], 1, tell), []
    thread = asking(desk, [torch.ones(1, 1, 4)], answers)
    thread.start()
    while not desk.waiting:
        pass
    desk.say("done")
    with pytest.raises(KeyboardInterrupt):
        desk.serve()
    desk.stop()
    thread.join(10)
    assert not thread.is_alive() and isinstance(answers[0], Stopped)


def test_an_interrupted_pass_is_handed_back():
    def forward(wav, layout):
        raise KeyboardInterrupt

    desk, answers = Desk(forward, 1, None), []
    with pytest.raises(KeyboardInterrupt):
        served(desk, [asking(desk, [torch.ones(1, 1, 4)], answers)])
    assert isinstance(answers[0], Stopped)
    with pytest.raises(Stopped):
        desk.ask(torch.ones(1, 1, 4), 0)


def test_what_breaks_in_a_thread_ends_the_run():
    def broken():
        raise OSError("no room")

    desk, answers = Desk(lambda wav, layout: wav[:, None], 2, None), []
    with pytest.raises(OSError, match="no room"):
        served(desk, [desk.work(broken), asking(desk, [torch.ones(1, 1, 4)] * 1000, answers)])
