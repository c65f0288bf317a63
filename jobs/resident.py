"""Many rounds in one job: workers stay alive and exchange files with the driver; the last round ends as a plain one."""
from mrdl.jobs.train import TrainRound

from mrdl.runners.streaming import Job


class ResidentRounds(TrainRound):
    """Map: answer the driver's questions until the end, then emit the last round. Reduce: as in a plain round."""

    def configure_args(self):
        Job.configure_args(self)
        self.add_passthru_arg("--meeting", required=True, help="the folder where the driver and the workers exchange files")
        self.add_passthru_arg("--dtype", default="float32", help="type of the state's values: float32 or float64")
        self.add_passthru_arg("--patience", type=float, default=300, help="seconds to wait for a driver")

    def map_pairs(self, pairs, step_num=0):
        from mrdl.rounds import nearby
        from mrdl.worker import cache, resident  # imported here, because reducers do not need them
        place = nearby.meeting_at(self.options.meeting)
        with cache.Shelf() as kept:
            worker = resident.Resident(place, kept, self.set_status, self.options.patience,
                                              self.increment_counter)
            yield from worker.serve(line for _, line in pairs)


if __name__ == "__main__":
    ResidentRounds.run()
