"""Plain Python twins of kernels/written.pyx, with the same names and arguments."""


def decimals(values, digits, starts, stops, out):
    found = [b"%.*g" % (digits, value) for value in values]
    at = 0
    for i, text in enumerate(found):
        starts[i], stops[i] = at, at + len(text)
        out[at:at + len(text)] = list(text)
        at += len(text)


def _fields(data, starts, stops, delimiter):
    for start, stop in zip(starts, stops, strict=True):
        field = bytes(data[start:stop])
        special = delimiter >= 0 and set(field) & set(b'"\r\n' + bytes([delimiter]))
        yield b'"' + field.replace(b'"', b'""') + b'"' if special else field


def room(data, starts, stops, delimiter, sizes):
    for i, field in enumerate(_fields(data, starts, stops, delimiter)):
        sizes[i] += len(field) + 1


def put(data, starts, stops, delimiter, end, places, out):
    for i, field in enumerate(_fields(data, starts, stops, delimiter)):
        if places[i] + len(field) + 1 > len(out):
            raise ValueError("no room for a field")
        out[places[i]:places[i] + len(field) + 1] = [*field, end]
        places[i] += len(field) + 1
