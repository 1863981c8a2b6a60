"""Tells people of runs by mail or webhook: sensors for runs that failed and runs that ended well.

They are on where BDD_MAIL_TO or BDD_WEBHOOK is set, and off without; docs/nightly.md has all settings.
"""

import dagster as dg

from assets.alerts import message, sending

STATUS = dg.DefaultSensorStatus.RUNNING if sending.is_wanted() else dg.DefaultSensorStatus.STOPPED
SECONDS_BETWEEN_LOOKS = 30


@dg.run_failure_sensor(
    minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
    default_status=STATUS,
    description="Sends mail, or calls a webhook, for each run that failed: what failed, in a sentence, and where.",
)
def tell_of_failures(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
    """Tell of a run that failed; raises AlertError where nobody could be told."""
    return _tell(context)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
    default_status=STATUS,
    description="Sends mail, or calls a webhook, for each run that ended well: the verdict on its model, its mask AP, "
    "checks that did not pass, and where the report is.",
)
def tell_of_finished_runs(context: dg.RunStatusSensorContext) -> dg.SkipReason | None:
    """Tell of a run that ended well; raises AlertError where nobody could be told."""
    return _tell(context)


def _tell(context: dg.RunStatusSensorContext) -> dg.SkipReason | None:
    if not sending.is_wanted():
        return dg.SkipReason("nobody is told: set BDD_MAIL_TO and BDD_SMTP, or BDD_WEBHOOK")
    told = sending.send(message.of_run(context.instance, context.dagster_run.run_id))
    context.log.info("told %s of run %s", " and ".join(told), context.dagster_run.run_id)
    return None


SENSORS = [tell_of_failures, tell_of_finished_runs]
