"""The engine inside one process: threads that share one Restorer."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from revisage.batch import photo
from revisage.batch.jobs import Job, Outcome
from revisage.batch.photo import PHOTO_SECONDS
from revisage.errors import UsageError
from revisage.options import SaveOptions
from revisage.restore import RestoreOptions, Restorer, Stage

USUAL = SaveOptions()
Watch = Callable[[Job, Stage], None]
_AHEAD = 16  #: photos per worker that may be done while an earlier one is in hand; outcomes are kept


def restore_all(
    jobs: Iterable[Job],
    restorer: Restorer,
    options: RestoreOptions,
    *,
    saving: SaveOptions = USUAL,
    workers: int = 1,
    stop: threading.Event | None = None,
    watch: Watch | None = None,
    ordered: bool = True,
    seconds: float = PHOTO_SECONDS,
) -> Generator[Outcome, None, None]:
    """Restore every photo and yield its outcome; no failure stops the rest.

    `workers` photos are in hand at once and share the one Restorer: while one is in the models, the others
    are read and written. What becomes of a photo does not depend on their number. Once `stop` is set, no more
    are started and those in hand are finished. Closing the iterator early sets it. `watch` is told of every
    step of a photo, from the thread it is in. A photo that is not restored after `seconds` fails. Outcomes
    come in the order of the jobs, or, not `ordered`, as soon as they are known.
    """
    if workers < 1:
        raise UsageError(f"workers {workers}: give at least 1")
    stop = stop or threading.Event()
    waiting = iter(jobs)
    begun: deque[Future[Outcome | None]] = deque()
    room = _AHEAD * workers if ordered else workers + 1

    def one(job: Job) -> Outcome | None:
        """None when it was not begun."""
        return None if stop.is_set() else restore_one(job, restorer, options, saving, watch, seconds=seconds)

    with ThreadPoolExecutor(workers, thread_name_prefix="photo") as pool:
        try:
            while True:
                while not stop.is_set() and len(begun) < room and (job := next(waiting, None)):
                    begun.append(pool.submit(one, job))
                if not begun:
                    return
                if not ordered:
                    done = next(iter(wait(begun, return_when=FIRST_COMPLETED).done))
                    begun.remove(done)
                    begun.appendleft(done)
                if (outcome := begun.popleft().result()) is not None:
                    yield outcome
        except BaseException:  # closed, or interrupted: the pool waits for the photos in hand
            stop.set()
            raise


def restore_one(
    job: Job,
    restorer: Restorer,
    options: RestoreOptions,
    saving: SaveOptions,
    watch: Watch | None = None,
    *,
    seconds: float,
) -> Outcome:
    """One photo from its file to its result's, in this thread. Every error is an outcome."""
    marks = None
    try:
        photo.check_target(job, saving)
        picture, marks = photo.read(job, restorer.settings.limits, saving, damaged=options.damaged)
        progress = None if watch is None else (lambda stage: watch(job, stage))
        result = photo.restore(picture, restorer, options, progress, seconds=seconds)
        return photo.write(job, marks, result, saving)
    except Exception as error:
        return photo.failed(job, error, marks)
