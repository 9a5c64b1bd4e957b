"""The Celery application. Messages are JSON and carry a command's id, nothing more; results live in the store.

Queues: `train` (prepare, early and final training), `compile` (candidates and bundles), `measure`.
"""

from celery import Celery

from jobs.broker import broker_url

LONGEST_TASK_S = 24 * 3600  # the visibility timeout: above the longest training, or its message would be delivered again


def make_app(url: str | None = None) -> Celery:
    """The application on `url`, or on the broker of this machine."""
    app = Celery("pocketformer", broker=url or broker_url() or "redis://127.0.0.1:6379/0")
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_default_queue="train",
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": LONGEST_TASK_S,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "health_check_interval": 10,
            # Of one send: the sweeper tries again.
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.5,
        },
    )
    return app


app = make_app()
