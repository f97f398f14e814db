"""One batch from its present state to its end. Started again, it goes on where it was."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from longreach.serve.auth import Identity, KeyRing
from longreach.serve.batches.executor import run_lines
from longreach.serve.batches.journal import Journal, error_line
from longreach.serve.batches.lines import BatchLine, LineError, read_lines
from longreach.serve.batches.local import LocalApi
from longreach.serve.batches.storage import Batch, BatchStore, State
from longreach.serve.database import PRIVATE_DIR
from longreach.serve.errors import ApiError
from longreach.serve.files.storage import FileStore, write_whole
from longreach.serve.tasks import cancel

logger = logging.getLogger("longreach.serve")

OUTPUT_PURPOSE = "batch_output"


class BatchWork:
    """What a runner does for one batch at a time.

    batch: as it is now. stop: asks for an early end ("cancelling"); what is answered is kept.
    """

    def __init__(self, api: LocalApi, store: BatchStore, files: FileStore, batch: Batch) -> None:
        self.batch = batch
        self._api = api
        self._store = store
        self._files = files
        self._folder = store.folder_of(batch)
        self._input = self._folder / "input.jsonl"
        self._output = self._folder / "output.jsonl"
        self._errors = self._folder / "errors.jsonl"
        self._running: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Bring it to its end. Raises EngineClosedError when the server stops before that."""
        self._folder.mkdir(mode=PRIVATE_DIR, exist_ok=True)
        lines, errors = await asyncio.to_thread(self._read_input)
        caller = self._caller()
        if caller is None:
            errors = [LineError("key_withdrawn", "The key of this batch is not known any more.")]
        if caller is None or errors:
            self._enter("failed", errors=[error.as_object() for error in errors])
        else:
            await self._run(lines, caller)
        await self._clean_up()

    def stop(self) -> None:
        """Abort what runs, and end as cancelled."""
        if self.batch.status not in ("cancelling", "finalizing") and not self.batch.is_finished:
            self._enter("cancelling")
        if self._running is not None:
            self._running.cancel()

    async def give_up(self) -> None:
        """End it as failed, after a fault of our own; the log has the trace.

        What was answered before is handed over all the same, if that can be done.
        """
        try:
            await asyncio.to_thread(self._hand_over)
        except Exception:
            logger.exception("the answers of batch %s are lost", self.batch.id)
        error = LineError("internal_error", "The server failed on this batch. Its log says why.")
        self._enter("failed", errors=[error.as_object()])
        await self._clean_up()

    async def _clean_up(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def _read_input(self) -> tuple[list[BatchLine], list[LineError]]:
        """The lines of a copy of our own, so that deleting the file does not stop the batch."""
        if not self._input.exists():
            try:
                file = self._files.get(self.batch.owner, self.batch.input_file_id)
                with self._files.path_of(file.id).open("rb") as content:
                    write_whole(self._input, content)
            except (ApiError, OSError):
                message = "The input file is not there any more."
                return [], [LineError("invalid_input_file", message, param="input_file_id")]
        return read_lines(self._input, (self.batch.endpoint,))

    def _caller(self) -> Identity | None:
        settings = self._api.context.settings
        return KeyRing(settings.api_keys, settings.secret).of_owner(self.batch.owner)

    async def _run(self, lines: Sequence[BatchLine], caller: Identity) -> None:
        with Journal(self._output, self._errors) as journal:
            if self.batch.status == "validating":
                self._enter("in_progress", num_total=len(lines))
            if self.batch.status == "in_progress":
                await self._answer(lines, caller, journal)
            ended: State = "cancelled" if self.batch.status == "cancelling" else "completed"
            if ended == "completed" and len(journal.done) < len(lines):
                ended = "expired"
                self._expire(lines, journal)
        if ended != "cancelled":
            self._enter("finalizing")
        await asyncio.to_thread(self._hand_over)
        self._enter(ended)

    async def _answer(self, lines: Sequence[BatchLine], caller: Identity, journal: Journal) -> None:
        """All lines, or those for which there was time."""
        self._count(journal)
        work = run_lines(
            self._api,
            self._input,
            lines,
            journal,
            caller=caller,
            concurrency=self._api.context.settings.max_batch_concurrency,
            on_answer=lambda: self._count(journal),
        )
        self._running = asyncio.create_task(work)
        try:
            time_left_s = max(0.0, self.batch.expires_at - time.time())
            await asyncio.wait({self._running}, timeout=time_left_s)
        finally:
            await cancel(self._running)
        if not self._running.cancelled():
            self._running.result()

    def _count(self, journal: Journal) -> None:
        """Kept with the next change of state; the journal knows better after a crash."""
        self.batch = replace(
            self.batch, num_completed=journal.num_completed, num_failed=journal.num_failed
        )

    def _expire(self, lines: Sequence[BatchLine], journal: Journal) -> None:
        """Say of every line left that there was no time for it."""
        message = "This request could not be executed before the completion window expired."
        for line in lines:
            if line.custom_id not in journal.done:
                journal.append(error_line(line.custom_id, "batch_expired", message))
        self._count(journal)

    def _hand_over(self) -> None:
        """Answers and failures become files of the owner, noted one by one."""
        if self.batch.output_file_id is None:
            self._update(output_file_id=self._keep(self._output, "output"))
        if self.batch.error_file_id is None:
            self._update(error_file_id=self._keep(self._errors, "error"))

    def _keep(self, path: Path, kind: str) -> str | None:
        if not path.exists() or not path.stat().st_size:
            return None
        with path.open("rb") as content:
            file = self._files.add(
                self.batch.owner,
                content,
                filename=f"{self.batch.id}_{kind}.jsonl",
                purpose=OUTPUT_PURPOSE,
                expires_after_s=self.batch.output_expires_s,
            )
        return file.id

    def _enter(self, status: State, **changes: object) -> None:
        self.batch = self._store.update(self.batch.enter(status, **changes))

    def _update(self, **changes: object) -> None:
        self.batch = self._store.update(replace(self.batch, **changes))  # type: ignore[arg-type]
