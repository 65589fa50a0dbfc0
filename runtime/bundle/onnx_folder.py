"""Opens ready ONNX models in the Hub's layout that have no ``bundle.json``.

What ``bundle.json`` would say is read from the model's other files and from its graph, or the model is refused with the
reason; nothing is guessed. What cannot be known, such as how equal the file is to the original checkpoint, stays empty
in the manifest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ..errors import BundleError, UnsupportedHeadError
from ..labels import meaning_of, read_head
from ..version import __version__
from .bundle import Bundle
from .files import digest_of, open_onnx, read_bounded, sha256_of
from .manifest import Architecture, FileRecord, Framing, Label, Manifest, ModelIO, ProcessorRecord, Source, Variant
from .selection import TEXT_FILES, VARIANT_FILES, choose_variants, texts_of
from .strict_json import JSONFormatError, parse

if TYPE_CHECKING:
    import onnxruntime

    from ..processors.processor import Processor

__all__ = [
    "Description",
    "describe",
    "licence_in",
    "licence_of",
    "local_source",
    "make_manifest",
    "onnx_files",
    "open_folder",
    "read_variant",
]

UNMEASURED: Final = "How equal this model is to the original checkpoint was not measured: it came as ONNX files."
_CLASSIFIER_CLASS: Final = "ForImageClassification"  # part of the name of every image classifier in transformers
_AGE_AND_GENDER: Final = re.compile(r"(?<![a-z])age(?![a-z])|agegender|genderage")
_BATCH_SCALED: Final = (b"DynamicQuantize", b"MatMulInteger", b"ConvInteger")
"""Parts of the names of operators that scale activations by all that is in the batch."""
_GIT_LFS: Final = b"version https://git-lfs"
_FLOAT32: Final = "tensor(float)"


@dataclass(frozen=True)
class Description:
    """What ``config.json`` and the processor's configuration say about a model.

    Attributes:
        name: What messages call the model.
        architecture: The network.
        labels: The classes in the model's order.
        activation: How logits become probabilities.
        processor: The image processor.
        processor_file: The file it was read from.
    """

    name: str
    architecture: Architecture
    labels: tuple[Label, ...]
    activation: Literal["softmax", "sigmoid", "single_logit"]
    processor: Processor
    processor_file: str


def open_folder(
    folder: Path, *, variant: str | None = None, name: str | None = None, source: Source | None = None
) -> Bundle:
    """Opens a folder in the Hub's ONNX layout as it is; its manifest is made in memory and holds one variant.

    Args:
        folder: The folder; nothing is written there.
        variant: The variant to use; by default the first of :data:`~runtime.bundle.selection.VARIANT_FILES` that is
            there.
        name: What the model is called; the folder's name unless given.
        source: Where it came from; the folder with its digest unless given.

    Raises:
        BundleError: If the model cannot be used; the message says why.
    """
    asked = () if variant is None else (variant,)
    ((chosen, path),) = choose_variants(onnx_files(folder), asked, str(folder), usual=()).items()
    description = describe(folder, name or str(folder))
    read = {chosen: read_variant(folder, path, description, chosen)}
    source = source or local_source(folder, folder.resolve().name, read)
    return Bundle(folder, make_manifest(folder, name or folder.resolve().name, source, description, read))


def onnx_files(folder: Path) -> set[str]:
    """Returns the ONNX files of the Hub's layout that are in a folder, as POSIX paths."""
    names = [name + end for names in VARIANT_FILES.values() for name in names for end in ("", "_data")]
    return {path for path in (prefix + name for prefix in ("onnx/", "") for name in names) if (folder / path).is_file()}


def describe(folder: Path, name: str, label_map: Mapping[str, str] | None = None) -> Description:
    """Reads labels, activation and processor of a model in the Hub's layout.

    Args:
        folder: Where its files are.
        name: What messages call the model.
        label_map: ``female`` or ``male`` by the model's own label, for words that are not known.

    Raises:
        UnsupportedHeadError: If the model is not a classifier of women and men.
        UnsupportedProcessorError: If its processor is not known.
        BundleError: If a file is missing or broken.
    """
    from ..processors.processor import Processor

    try:
        config = _read_json(folder / "config.json")
        architecture = _architecture(config)
        labels, activation = read_head(config, label_map)
        if _AGE_AND_GENDER.search(f"{name} {config.get('_name_or_path', '')}".lower()):
            _refuse_age_head(labels)
        processor_file, processor_config = _processor_config(folder, config)
        processor = Processor.from_config(processor_config, model_type=architecture.model_type)
    except BundleError as error:  # its message is the reason alone
        raise type(error)(f"{name} cannot be used: {error}.") from error
    return Description(name, architecture, labels, activation, processor, processor_file)


def make_manifest(
    folder: Path,
    name: str,
    source: Source,
    description: Description,
    variants: Mapping[str, tuple[Variant, ModelIO]],
    *,
    framing: Framing | None = None,
    notes: tuple[str, ...] = (),
) -> Manifest:
    """Puts together what ``bundle.json`` says about a model that another program exported.

    Args:
        folder: Where its files are.
        name: The bundle's name.
        source: Where the files came from.
        description: From :func:`describe`.
        variants: From :func:`read_variant`, the default one first, at least one.
        framing: What the model wants to see; the whole picture unless given.
        notes: Further sentences for people.

    Raises:
        BundleError: If the variants' graphs have different interfaces.
    """
    default, (_, io) = next(iter(variants.items()))
    for other, (_, its_io) in variants.items():
        if its_io != io:
            raise BundleError(
                f"The variants {default} and {other} of {description.name} have different inputs or outputs; "
                f"choose one of them, such as {default}."
            )
    return Manifest(
        name=name,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
        source=source,
        architecture=description.architecture,
        labels=description.labels,
        activation=description.activation,
        framing=framing or Framing("image"),
        io=io,
        processor=ProcessorRecord(description.processor.reference, description.processor_file),
        files=records_of(folder),
        variants={variant: record for variant, (record, _) in variants.items()},
        default_variant=default,
        exporter={"gender-classifier": __version__},
        notes=(UNMEASURED, *notes),
    )


def licence_of(folder: Path) -> str | None:
    """Returns the licence word of a folder's model card, or ``None``."""
    try:
        return licence_in(read_bounded(folder / "README.md").decode("utf-8", errors="replace"))
    except OSError:
        return None


def licence_in(card: str | None) -> str | None:
    """Returns the licence word in the front matter of a model card's text, or ``None``."""
    block = re.match(r"---\s*\n(.*?)\n---", card or "", re.DOTALL)
    found = re.search(r"^license:[ \t]*(\S.*?)[ \t]*$", block[1], re.MULTILINE) if block else None
    return found[1].strip("'\"") if found else None


def local_source(folder: Path, name: str, variants: Mapping[str, tuple[Variant, ModelIO]]) -> Source:
    """Returns what a manifest says of the origin of a folder's model: its name, and the hash of all its files."""
    hashes = {name: one.sha256 for name, one in records_of(folder).items()}
    hashes |= {record.file: record.sha256 for record, _ in variants.values()}
    return Source("local", name, digest=digest_of(hashes), license=licence_of(folder))


def records_of(folder: Path) -> dict[str, FileRecord]:
    """Returns size and hash of the configurations, card and licence in a folder."""
    sizes = {name: (folder / name).stat().st_size for name in TEXT_FILES if (folder / name).is_file()}
    return {name: FileRecord(sizes[name], sha256_of(folder / name)) for name in texts_of(sizes)}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = parse(read_bounded(path))
    except FileNotFoundError:
        raise BundleError(f"it has no {path.name}, which says what its outputs mean") from None
    except (OSError, JSONFormatError) as error:
        why = error.strerror or error if isinstance(error, OSError) else error
        raise BundleError(f"its {path.name} cannot be read: {why}") from error
    if not isinstance(data, dict):
        raise BundleError(f"its {path.name} does not hold a JSON object")
    return data


def _processor_config(folder: Path, config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    for file in ("preprocessor_config.json", "processor_config.json"):
        if (folder / file).is_file():
            return file, _read_json(folder / file)
    if isinstance(config.get("pretrained_cfg"), dict):  # timm keeps its processor there
        return "config.json", config
    raise BundleError(
        "it has no preprocessor_config.json, so how a picture becomes the network's input is not known. The one of the "
        "model it was fine-tuned from usually fits; put a copy beside config.json"
    )


def _architecture(config: dict[str, Any]) -> Architecture:
    model_type = config.get("model_type")
    classes = config.get("architectures")
    class_name = classes[0] if isinstance(classes, list) and classes and isinstance(classes[0], str) else None
    if class_name is not None and _CLASSIFIER_CLASS not in class_name:
        raise UnsupportedHeadError(
            f"its network is a {class_name}, none of transformers' image classifiers (...{_CLASSIFIER_CLASS}), so what "
            "its outputs mean is not known. A head for age and gender, for example, gives an age in years and a share, "
            "not two classes"
        )
    if not isinstance(model_type, str) and class_name is None:
        raise BundleError("its config.json names neither model_type nor architectures")
    return Architecture(model_type if isinstance(model_type, str) else "", class_name or "")


def _refuse_age_head(labels: tuple[Label, ...]) -> None:
    """Refuses a model called "age and gender" whose labels are not gender words: its outputs are not two classes.

    A map of its labels does not help: softmax over an age in years and a share means nothing. Files in the wild call
    such a head ``LABEL_0`` and ``LABEL_1``.

    Raises:
        UnsupportedHeadError: If it is one.
    """
    if all(meaning_of(label.raw) == label.meaning for label in labels):
        return
    words = ", ".join(repr(label.raw) for label in labels)
    raise UnsupportedHeadError(
        f"by its name it predicts age and gender, and its outputs ({words}) are not named after women and men. Such a "
        "head gives an age in years and a share, not two classes"
    )


def read_variant(folder: Path, path: str, description: Description, variant: str) -> tuple[Variant, ModelIO]:
    """Checks one ONNX file against the model's description, by the graph that onnxruntime sees in it.

    Args:
        folder: Where the model's files are.
        path: The ONNX file inside it.
        description: What the model's other files say.
        variant: What the variant is called. One of other numbers than floats runs one picture at a time, as its scales
            may come from the whole batch.

    Returns:
        Its record for the manifest, and the graph's interface.

    Raises:
        UnsupportedHeadError: If the number of outputs is not that of the labels.
        BundleError: If the file cannot be used; the message says why.
    """
    where = f"{path} of {description.name}"
    try:
        with open_onnx(folder / path, _BATCH_SCALED) as opened:
            if opened.external:
                raise BundleError(
                    f"{where} keeps its weights in another file, and a model's ONNX file has to be self-contained. "
                    "Choose another variant, or export the original checkpoint."
                )
            session = _probe(opened.model, where)
    except OSError as error:
        raise BundleError(f"{where} cannot be read: {error.strerror or error}.") from error
    one_by_one = opened.words or variant not in ("fp32", "fp16")
    record = Variant(path, opened.size, opened.sha256, quantization={"mode": "unknown"} if one_by_one else None)
    return record, _interface(session, description, where)


def _probe(model: bytes | str, where: str) -> onnxruntime.InferenceSession:
    """Makes a session that only answers questions: nothing is optimised, so that it takes little time and memory."""
    from ..session import import_onnxruntime

    if isinstance(model, bytes) and model.startswith(_GIT_LFS):
        raise BundleError(
            f"{where} is only Git LFS's note of where the file is, not the ONNX file itself. Run `git lfs pull` in "
            "its folder, or bring the model from the Hub."
        )
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        return ort.InferenceSession(model, sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own classes, which share no public base
        if "protobuf" in str(error):
            raise BundleError(f"{where} is not an ONNX file, or a broken one.") from error
        raise BundleError(f"{where} does not run here: {str(error).strip().splitlines()[0]}") from error


def _interface(session: onnxruntime.InferenceSession, description: Description, where: str) -> ModelIO:
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != _FLOAT32:
        raise BundleError(
            f"{where} takes {_tensors(inputs)}; one float32 input of the form (pictures, 3, height, width) "
            "is what can be fed."
        )
    (pixels,) = inputs
    batch, channels, *graph_size = _shape(pixels)
    if batch not in (None, 1):
        raise BundleError(f"{where} takes exactly {batch} pictures at a time; it needs a free batch axis.")
    if channels not in (None, 3):
        raise BundleError(f"{where} takes pictures of {channels} channels, not of red, green and blue.")
    height, width = (
        _side(fixed, made, where) for fixed, made in zip(graph_size, description.processor.output_size, strict=True)
    )
    return ModelIO(pixels.name, _output(session.get_outputs(), description, where), height, width)


def _side(fixed: int | None, made: int | None, where: str) -> int:
    """Returns the network's height or width: the graph's and the processor's must agree, and one must be known."""
    if fixed is not None and made is not None and fixed != made:
        raise BundleError(
            f"{where} takes pictures of {fixed} pixels where the processor makes {made}; its preprocessor_config.json "
            "does not belong to it."
        )
    known = fixed or made
    if known is None:
        raise BundleError(f"{where} takes pictures of any size, and the processor's size depends on the picture.")
    return known


def _output(outputs: list[onnxruntime.NodeArg], description: Description, where: str) -> str:
    """Returns the name of the output that holds the logits."""
    named = {output.name: output for output in outputs}
    if "logits" not in named and len(named) != 1:
        raise UnsupportedHeadError(f"{where} gives {_tensors(outputs)}; a classifier gives logits alone.")
    output = named["logits"] if "logits" in named else outputs[0]
    expected = 1 if description.activation == "single_logit" else len(description.labels)
    shape = _shape(output)
    fits = not shape or (len(shape) == 2 and shape[1] in (None, expected))
    if output.type != _FLOAT32 or not fits:
        raise UnsupportedHeadError(
            f"{where} gives {_tensors([output])}; (pictures, {expected}) in float32 belongs to the classes of its "
            "config.json."
        )
    return str(output.name)


def _shape(tensor: onnxruntime.NodeArg) -> list[int | None]:
    """Returns each axis as a number, or as ``None`` where it is free (a name, or -1)."""
    return [size if isinstance(size, int) and size > 0 else None for size in tensor.shape]


def _tensors(tensors: list[onnxruntime.NodeArg]) -> str:
    def words(tensor: onnxruntime.NodeArg) -> str:
        kind = tensor.type.removeprefix("tensor(").removesuffix(")")
        sizes = " x ".join("any" if size is None else str(size) for size in _shape(tensor))
        return f"{tensor.name} ({'float32' if kind == 'float' else kind}, {sizes})"

    return ", ".join(words(tensor) for tensor in tensors) or "nothing"
