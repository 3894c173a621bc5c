"""What sender and receiver of hints agree on: the task's name, its queues, the broker's options.

Owns Celery's configuration as far as both sides need it. Hints are sent by name, so the service
never imports the workers.
"""

from __future__ import annotations

from typing import Any, Final

from service.settings import Settings

#: Carries out units until nothing can be claimed. One argument: `{"unit": …, "job": …}`.
TASK: Final = "lossatlas.drain"


def broker_options(settings: Settings, *, answer_seconds: float = 30.0) -> dict[str, Any]:
    """Options for either side. The broker may be away at any time, for any time.

    Args:
        answer_seconds: how long it may be silent; who receives waits for messages meanwhile.
    """
    return {
        "task_default_queue": "cpu",
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_backend": None,
        "task_acks_late": False,
        "broker_connection_retry": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": 5.0,
        "broker_heartbeat": 10,
        "broker_transport_options": _transport_options(settings.broker_url, answer_seconds),
        "task_queue_max_priority": None,
        "worker_deduplicate_successful_tasks": False,
    }


def _transport_options(url: str, answer_seconds: float) -> dict[str, Any]:
    if not url.startswith(("redis", "rediss", "valkey")):
        return {}
    return {
        "socket_timeout": answer_seconds,
        "socket_connect_timeout": 5.0,
        "socket_keepalive": True,
        "health_check_interval": 10,
        # hints need no redelivery: the ledger sends them again
        "visibility_timeout": 43_200,
        "polling_interval": 0.1,
    }
