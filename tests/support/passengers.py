"""A small table as they lie about: an index without a name, words, dates, missing values, a damaged row."""
import random
from pathlib import Path

HEADER = ",survived,class,sex,age,fare,port,boarded"


def passengers(folder, rows=60) -> str:
    rng = random.Random(1)
    lines = [HEADER]
    for i in range(rows):
        sex = rng.choice(["female", "male"])
        lived = rng.random() < (0.75 if sex == "female" else 0.2)
        age = "" if rng.random() < 0.2 else str(rng.randint(1, 70))
        port = rng.choice(["Southampton", "Southampton", "Southampton", "Cherbourg", "Queenstown", "NA"])
        lines.append(f"{i},{'yes' if lived else 'no'},{rng.choice([1, 2, 3, 3])},{sex},{age},{rng.uniform(5, 90):.2f},{port},"
                     f"1912-04-{rng.choice([10, 10, 11])}")
    lines[20] = "19,no,3,male"
    path = Path(folder, "passengers.csv")
    path.write_text("\n".join(lines) + "\n")
    return str(path)
