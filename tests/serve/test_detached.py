import asyncio
from dataclasses import dataclass, field

from longreach.serve.detached import DetachedRuns, Recording


@dataclass
class Run:
    owner: str = "me"
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    ended: str = ""
    error: Exception | None = None

    async def work(self):
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
            self.ended = "done"
        except asyncio.CancelledError:
            self.ended = "stopped"
            raise


async def read(recording, start=0):
    return [frame async for frame in recording.follow(start)]


def test_every_reader_gets_every_frame():
    """Early, late and resuming readers see the same frames in the same order."""

    async def scenario():
        recording = Recording()
        early = asyncio.create_task(read(recording))
        for number in range(5):
            recording.add(b"%d" % number)
            await asyncio.sleep(0)
        middle = asyncio.create_task(read(recording, 3))
        recording.add(b"5")
        recording.end()
        return await early, await middle, await read(recording), await read(recording, 9)

    whole = [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert asyncio.run(scenario()) == (whole, whole[3:], whole, [])


def test_a_run_is_its_owners():
    """A run is found by its owner, under its kind, while it runs."""

    async def scenario():
        runs, run = DetachedRuns(), Run()
        await runs.start("1", run)
        assert runs.find("1", "me", Run) is run
        assert runs.find("1", "you", Run) is None
        assert runs.find("2", "me", Run) is None
        run.gate.set()
        await runs.finish()
        assert run.ended == "done"
        assert runs.find("1", "me", Run) is None

    asyncio.run(scenario())


def test_stop_waits_until_it_has_stopped():
    """stop cancels; for what has ended it does nothing."""

    async def scenario():
        runs, run = DetachedRuns(), Run()
        await runs.start("1", run)
        await runs.stop("1")
        assert run.ended == "stopped"
        await runs.stop("1")

    asyncio.run(scenario())


def test_a_failure_is_logged(caplog):
    """An error that nobody waits for is in the log, and the run is forgotten."""

    async def scenario():
        runs, run = DetachedRuns(), Run(error=RuntimeError("broken"))
        await runs.start("1", run)
        run.gate.set()
        await runs.finish()
        assert runs.find("1", "me", Run) is None

    asyncio.run(scenario())
    assert "detached work 1 failed" in caplog.text
