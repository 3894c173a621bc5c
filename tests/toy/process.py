"""`lossatlas-server` with the toy among its kinds: what two lines of the tables would be.

python -m tests.toy.process api | relay | worker …
"""

from __future__ import annotations

import sys

from service.domain.questions import table as questions
from tests.toy.question import Toy
from workers.questions import table as halves


def register() -> None:
    """Makes the toy known, before anything asks which kinds there are."""
    questions.register(Toy())
    halves.register("toy", "tests.toy")


if __name__ == "__main__":
    register()
    command, *given = sys.argv[1:]
    if command == "worker":
        # `lossatlas-server worker` begins a process of its own, which would not know the toy
        from workers.__main__ import main as work

        sys.exit(work(given))
    from service.command import main

    sys.exit(main([command, *given]))
