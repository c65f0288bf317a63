"""Plain Python twins of kernels/known.pyx, with the same names and arguments."""


def find(data, starts, stops, hashes, known, kstarts, kstops, sorted, order, first, shift, out):
    words = [bytes(known[start:stop]) for start, stop in zip(kstarts, kstops, strict=True)]
    for i, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        word = bytes(data[start:stop])
        out[i] = words.index(word) if word in words else -1


def ones(ids, out):
    for i, at in enumerate(ids):
        out[i] = 0
        if at >= 0:
            out[i, at] = 1


def mark(ids, out):
    for own in ids:
        for i, at in enumerate(own):
            if at >= 0:
                out[i, at] = 1
