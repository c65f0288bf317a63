"""Many rounds in one job: workers stay and meet their driver through files; the last round is a plain one."""
from mrdl.jobs.train import TrainRound

from mrdl.runners.streaming import Job


class ResidentRounds(TrainRound):
    """Map: serve the meeting until its end, then emit the last round. Reduce: as a plain round does."""

    def configure_args(self):
        Job.configure_args(self)
        self.add_passthru_arg("--meeting", required=True, help="the folder where driver and workers meet")
        self.add_passthru_arg("--dtype", default="float32", help="of the state's vector")
        self.add_passthru_arg("--patience", type=float, default=300, help="seconds without a driver")

    def map_pairs(self, pairs, step_num=0):
        from mrdl.rounds import meeting
        from mrdl.worker import cache, resident  # not for reducers
        place = meeting.Meeting(self.options.meeting)
        with cache.Shelf() as kept:
            worker = resident.Resident(place, kept, self.set_status, self.options.patience,
                                              self.increment_counter)
            yield from worker.serve(line for _, line in pairs)


if __name__ == "__main__":
    ResidentRounds.run()
