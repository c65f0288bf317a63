"""Objects to and from Keras's JSON form: {"module", "class_name", "config", "registered_name"}."""
import dataclasses
import re
from typing import Any, ClassVar


class ConfigError(ValueError):
    """A spec that mrdl cannot build; the message names the object and the key."""


# Keras writes these for every object; with such a value they ask for nothing
HARMLESS = (None, False, 0.0, "float32", "channels_last")
COMMON = {"dtype", "trainable", "name", "ema_momentum"}


@dataclasses.dataclass(frozen=True)
class Configured:
    """A frozen description whose fields are its Keras config."""

    keras_module: ClassVar[str] = "keras"

    def get_config(self) -> dict[str, Any]:
        return {f.name: serialize(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Configured":
        known = {f.name for f in dataclasses.fields(cls) if f.init}
        for key, value in config.items():
            if key not in known and key not in COMMON and value not in HARMLESS:
                raise ConfigError(f"{cls.__name__}: {key}={value!r} is not supported")
        if config.get("trainable") is False:
            raise ConfigError(f"{cls.__name__}: trainable=False is not supported")
        if _dtype(config.get("dtype")) not in (None, "float32", "float64"):
            raise ConfigError(f"{cls.__name__}: dtype {_dtype(config['dtype'])} is not supported; "
                              "mrdl trains in float32 (float64 for checks)")
        try:
            return cls(**{k: v for k, v in config.items() if k in known})
        except TypeError as error:
            raise ConfigError(f"{cls.__name__}: {error}") from None


def _dtype(value: Any) -> Any:
    return value.get("config", {}).get("name") if isinstance(value, dict) else value


def serialize(value: Any) -> Any:
    """The Keras JSON form of a description, or the value itself."""
    if isinstance(value, Configured):
        return {"module": value.keras_module, "class_name": type(value).__name__,
                "config": value.get_config(), "registered_name": None}
    return list(value) if isinstance(value, tuple) else value


def snake(name: str) -> str:
    """Keras's own rule: "HeNormal" -> "he_normal", "L1L2" -> "l1_l2"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def lookup(value: Any, table: list[type], kind: str) -> Any:
    """The object that `value` names: itself, a name ("he_normal", "HeNormal") or a Keras dict.

    Raises ConfigError with the names there are."""
    if value is None or isinstance(value, tuple(table)):
        return value
    name, config = value, {}
    if isinstance(value, dict):
        name, config = value.get("class_name"), value.get("config") or {}
        if not isinstance(config, dict):
            raise ConfigError(f"{kind} {name}: its config must be an object")
    for cls in table:
        if isinstance(name, str) and name.lower() in {cls.__name__.lower(), snake(cls.__name__),
                                                      *getattr(cls, "aliases", ())}:
            return cls.from_config(config)
    names = ", ".join(snake(c.__name__) for c in table)
    raise ConfigError(f"unknown {kind} {name!r}; there are {names}")
