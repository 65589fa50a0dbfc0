"""Tiny, randomly initialised checkpoints of every image-classification architecture that transformers has.

Each entry is a configuration small enough to trace in a second, at an input size the architecture accepts, and the
processor configuration that its published checkpoints use, with the sizes made small.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ID2LABEL = {0: "female", 1: "male"}
HALF = [0.5, 0.5, 0.5]
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}

VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}


def square(name: str, edge: int, **more: Any) -> dict[str, Any]:
    """A processor that resizes to a square, aspect ratio not kept."""
    return {
        "image_processor_type": name,
        "do_resize": True,
        "size": {"height": edge, "width": edge},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": HALF,
        "image_std": HALF,
        **more,
    }


def short_edge_and_crop(name: str, edge: int, crop: int, **more: Any) -> dict[str, Any]:
    """A processor that resizes the short edge and crops the centre."""
    return {
        "image_processor_type": name,
        "do_resize": True,
        "size": {"shortest_edge": edge},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": crop, "width": crop},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        **IMAGENET,
        **more,
    }


def convnext(edge: int, **more: Any) -> dict[str, Any]:
    return {
        "image_processor_type": "ConvNextImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": edge},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        **IMAGENET,
        **more,
    }


# model_type: (keyword arguments of its configuration, processor configuration)
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "beit": (
        {**VIT, "use_relative_position_bias": True, "use_absolute_position_embeddings": False,
         "use_mean_pooling": True},
        square("BeitImageProcessor", 32, do_center_crop=False, crop_size={"height": 32, "width": 32}),
    ),
    "bit": (
        {"embedding_size": 16, "hidden_sizes": [16, 32, 32, 64], "depths": [1, 1, 1, 1], "num_groups": 8},
        short_edge_and_crop("BitImageProcessor", 36, 32, do_convert_rgb=True),
    ),
    "clip": (
        {"vision_config": {**VIT, "projection_dim": 16}, "text_config": {"hidden_size": 16, "num_hidden_layers": 1,
         "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 100, "projection_dim": 16},
         "projection_dim": 16},
        short_edge_and_crop("CLIPImageProcessor", 32, 32, do_convert_rgb=True, **CLIP),
    ),
    "convnext": ({"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}, convnext(48, crop_pct=0.875)),
    "convnextv2": ({"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}, convnext(48, crop_pct=None)),
    "cvt": (
        {"embed_dim": [16, 32, 48], "num_heads": [1, 2, 3], "depth": [1, 2, 3]},
        convnext(64, crop_pct=None),
    ),
    "data2vec-vision": (
        {**VIT, "use_relative_position_bias": True, "use_absolute_position_embeddings": False},
        square("BeitImageProcessor", 32, do_center_crop=False, crop_size={"height": 32, "width": 32}),
    ),
    "deit": (VIT, short_edge_and_crop("DeiTImageProcessor", 36, 32, size={"height": 36, "width": 36})),
    "dinat": (
        {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4], "dilations": [[1], [1]]},
        square("ViTImageProcessor", 32),
    ),
    "dinov2": (
        {**VIT, "image_size": 56, "mlp_ratio": 2},
        short_edge_and_crop("BitImageProcessor", 36, 32, do_convert_rgb=True),
    ),
    "dinov2_with_registers": (
        {**VIT, "image_size": 56, "mlp_ratio": 2, "num_register_tokens": 4},
        short_edge_and_crop("BitImageProcessor", 36, 32, do_convert_rgb=True),
    ),
    "donut-swin": (
        {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4},
        square("DonutImageProcessor", 32, do_thumbnail=True, do_align_long_axis=False, do_pad=True),
    ),
    "efficientformer": (
        {"image_size": 64, "hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 2], "dim": 48, "key_dim": 8,
         "num_attention_heads": 2, "resolution": 2, "num_meta3d_blocks": 1, "downsamples": [True, True, True, True],
         "mlp_expansion_ratio": 2},
        short_edge_and_crop("EfficientFormerImageProcessor", 64, 64, size={"height": 64, "width": 64}),
    ),
    "efficientnet": (
        {"width_coefficient": 0.25, "depth_coefficient": 0.2, "hidden_dim": 320, "image_size": 64},
        square("EfficientNetImageProcessor", 64, resample=0, do_center_crop=False,
               crop_size={"height": 64, "width": 64},
               rescale_offset=False, include_top=True, **IMAGENET),
    ),
    "focalnet": (
        {"image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [1, 1], "hidden_sizes": [16, 32],
         "focal_levels": [2, 2], "focal_windows": [3, 3]},
        short_edge_and_crop("BitImageProcessor", 36, 32, do_convert_rgb=True),
    ),
    "hgnet_v2": (
        {"embedding_size": 16, "depths": [1, 1, 1, 1], "hidden_sizes": [32, 48, 64, 96], "stem_channels": [3, 8, 16],
         "stage_in_channels": [16, 32, 48, 64], "stage_mid_channels": [8, 12, 16, 24],
         "stage_out_channels": [32, 48, 64, 96], "stage_num_blocks": [1, 1, 1, 1],
         "stage_downsample": [False, True, True, True], "stage_light_block": [False, False, True, True],
         "stage_kernel_size": [3, 3, 5, 5], "stage_numb_of_layers": [2, 2, 2, 2]},
        square("ViTImageProcessor", 64),
    ),
    "hiera": (
        {"image_size": [32, 32], "patch_size": [7, 7], "patch_stride": [4, 4], "patch_padding": [3, 3], "embed_dim": 16,
         "depths": [1, 1, 2, 1], "num_heads": [1, 2, 4, 8], "masked_unit_size": [8, 8], "num_query_pool": 3},
        short_edge_and_crop("BitImageProcessor", 36, 32, do_convert_rgb=True),
    ),
    "ijepa": (VIT, square("ViTImageProcessor", 32)),
    "imagegpt": ({"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 17, "n_positions": 16}, {
        "image_processor_type": "ImageGPTImageProcessor", "size": {"height": 4, "width": 4}, "do_color_quantize": True,
    }),
    "levit": (
        {"image_size": 64, "hidden_sizes": [16, 32, 48], "num_attention_heads": [2, 2, 2], "depths": [1, 1, 1],
         "key_dim": [8, 8, 8], "stride": 2, "kernel_size": 3},
        short_edge_and_crop("LevitImageProcessor", 64, 64),
    ),
    "metaclip_2": (
        {"vision_config": {**VIT, "projection_dim": 16}, "text_config": {"hidden_size": 16, "num_hidden_layers": 1,
         "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 100, "projection_dim": 16, "eos_token_id": 2},
         "projection_dim": 16},
        short_edge_and_crop("CLIPImageProcessor", 32, 32, size={"height": 32, "width": 32}, do_convert_rgb=True,
                            **CLIP),
    ),
    "mobilenet_v1": (
        {"depth_multiplier": 0.25, "image_size": 64, "tf_padding": True},
        short_edge_and_crop("MobileNetV1ImageProcessor", 72, 64, image_mean=HALF, image_std=HALF, resample=2),
    ),
    "mobilenet_v2": (
        {"depth_multiplier": 0.25, "image_size": 64, "tf_padding": True, "finegrained_output": True},
        short_edge_and_crop("MobileNetV2ImageProcessor", 72, 64, image_mean=HALF, image_std=HALF, resample=2),
    ),
    "mobilevit": (
        {"image_size": 64, "hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 16, 16, 24, 24, 32],
         "num_attention_heads": 2},
        {"image_processor_type": "MobileViTImageProcessor", "do_resize": True, "size": {"shortest_edge": 72},
         "resample": 2, "do_rescale": True, "rescale_factor": 1 / 255, "do_center_crop": True,
         "crop_size": {"height": 64, "width": 64}, "do_flip_channel_order": True},
    ),
    "mobilevitv2": (
        {"image_size": 64, "width_multiplier": 0.25, "base_attn_unit_dims": [32, 48, 64], "n_attn_blocks": [1, 1, 1]},
        {"image_processor_type": "MobileViTImageProcessor", "do_resize": True, "size": {"shortest_edge": 72},
         "resample": 2, "do_rescale": True, "rescale_factor": 1 / 255, "do_center_crop": True,
         "crop_size": {"height": 64, "width": 64}, "do_flip_channel_order": True},
    ),
    "nat": (
        {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4], "kernel_size": 3},
        square("ViTImageProcessor", 32),
    ),
    "perceiver": (
        {"d_model": 64, "d_latents": 32, "num_latents": 8, "num_blocks": 1, "num_self_attends_per_block": 2,
         "num_self_attention_heads": 2, "num_cross_attention_heads": 1, "image_size": 32},
        {"image_processor_type": "PerceiverImageProcessor", "do_center_crop": True,
         "crop_size": {"height": 256, "width": 256}, "do_resize": True, "size": {"height": 32, "width": 32},
         "resample": 3, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, **IMAGENET},
    ),
    "poolformer": (
        {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]},
        short_edge_and_crop("PoolFormerImageProcessor", 64, 64, crop_pct=0.9, size={"shortest_edge": 64}),
    ),
    "pvt": (
        {"image_size": 64, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 3, 4],
         "mlp_ratios": [2, 2, 2, 2], "num_labels": 2},
        square("PvtImageProcessor", 64, **IMAGENET),
    ),
    "pvt_v2": (
        {"image_size": 64, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 3, 4],
         "mlp_ratios": [2, 2, 2, 2]},
        square("PvtImageProcessor", 64, **IMAGENET),
    ),
    "regnet": (
        {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "groups_width": 8},
        convnext(48, crop_pct=0.875),
    ),
    "resnet": (
        {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "layer_type": "bottleneck"},
        convnext(48, crop_pct=0.875),
    ),
    "segformer": (
        {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 3, 4],
         "decoder_hidden_size": 16, "mlp_ratios": [2, 2, 2, 2]},
        square("SegformerImageProcessor", 64, do_reduce_labels=False, **IMAGENET),
    ),
    "shieldgemma2": ({}, {"image_processor_type": "Gemma3ImageProcessor"}),
    "siglip": (
        {"vision_config": VIT, "text_config": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
         "intermediate_size": 16, "vocab_size": 100}},
        square("SiglipImageProcessor", 32, resample=3, do_convert_rgb=None),
    ),
    "siglip2": ({"vision_config": {}, "text_config": {}}, {"image_processor_type": "Siglip2ImageProcessor"}),
    "swiftformer": (
        {"image_size": 64, "embed_dims": [16, 24, 32, 48], "depths": [1, 1, 1, 1], "mlp_ratio": 2},
        square("ViTImageProcessor", 64, **IMAGENET),
    ),
    "swin": (
        {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [1, 2], "num_heads": [2, 4], "window_size": 4},
        square("ViTImageProcessor", 32, resample=3, **IMAGENET),
    ),
    "swinv2": (
        {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [1, 2], "num_heads": [2, 4], "window_size": 4},
        square("ViTImageProcessor", 32, resample=3, **IMAGENET),
    ),
    "textnet": (
        {"stem_kernel_size": 3, "stem_stride": 2, "stem_num_channels": 3, "stem_out_channels": 8,
         "hidden_sizes": [8, 16, 24, 32, 40],
         "conv_layer_kernel_sizes": [[[3, 3]], [[3, 1]], [[1, 3]], [[3, 3]]],
         "conv_layer_strides": [[2], [2], [2], [2]], "image_size": [64, 64]},
        {"image_processor_type": "TextNetImageProcessor", "do_resize": True, "size": {"shortest_edge": 64},
         "size_divisor": 32, "resample": 2, "do_center_crop": True, "crop_size": {"height": 64, "width": 64},
         "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, **IMAGENET},
    ),
    "timm_wrapper": (
        {"architecture": "test_vit"},
        {"image_processor_type": "TimmWrapperImageProcessor",
         "pretrained_cfg": {"input_size": [3, 160, 160], "interpolation": "bicubic", "crop_pct": 0.95, "mean": HALF,
                            "std": HALF, "crop_mode": "center"}},
    ),
    "van": (
        {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "mlp_ratios": [2, 2, 2, 2]},
        convnext(64, crop_pct=0.9),
    ),
    "vit": (VIT, square("ViTImageProcessor", 32)),
    "vit_hybrid": (
        {**{key: value for key, value in VIT.items() if key != "patch_size"}, "image_size": 64, "patch_size": 1,
         "backbone_featmap_shape": [1, 32, 4, 4],
         "backbone_config": {"model_type": "bit", "embedding_size": 16, "hidden_sizes": [16, 32, 32],
                             "depths": [1, 1, 1],
                             "num_groups": 8, "layer_type": "bottleneck", "global_padding": "same",
                             "out_features": ["stage3"], "embedding_dynamic_padding": True}},
        short_edge_and_crop("ViTHybridImageProcessor", 64, 64, do_convert_rgb=True, image_mean=HALF, image_std=HALF),
    ),
    "vit_msn": (VIT, square("ViTImageProcessor", 32, **IMAGENET)),
}  # fmt: skip

# Classes of an architecture that fix some sizes themselves.
OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # This class reads hidden_size, which its configuration class does not set.
    "EfficientFormerForImageClassificationWithTeacher": ({"hidden_size": 48}, {}),
    "PerceiverForImageClassificationFourier": (
        {"d_model": 261},
        {"size": {"height": 224, "width": 224}},
    ),
    "PerceiverForImageClassificationConvProcessing": (
        {"d_model": 322},
        {"size": {"height": 224, "width": 224}},
    ),
}

REFUSED = ("dinat", "imagegpt", "nat", "shieldgemma2", "siglip2")


def make_checkpoint(
    model_type: str, folder: Path, *, class_name: str | None = None, seed: int = 0, **more: Any
) -> Path:
    """Writes a checkpoint of that architecture as its authors would publish it; returns the folder.

    The head's weights are made larger than transformers initialises them, so that probabilities spread between
    pictures and a difference in the pixels shows.
    """
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as MAPPING

    from gender_classifier.export.architectures import ModelClass

    folder.mkdir(parents=True, exist_ok=True)
    options, processor = MODELS[model_type]
    own, own_processor = OTHERS.get(class_name or "", ({}, {}))
    options, processor = {**options, **own}, {**processor, **own_processor}
    known = MAPPING[model_type]
    name = class_name or (known if isinstance(known, str) else known[0])
    network_class = ModelClass(model_type, name).model_class()
    torch.manual_seed(seed)
    config = network_class.config_class(
        **{**options, **more}, id2label=ID2LABEL, label2id={word: index for index, word in ID2LABEL.items()}
    )
    if model_type == "vit_hybrid":  # its own initialisation fails on the mask token that a classifier has not
        network_class.__mro__[1]._init_weights = lambda *_: None
    model = network_class(config).eval()
    _randomise(model, _pictures(processor, model_type, config.to_dict()))
    model.save_pretrained(folder)
    written = json.loads((folder / "config.json").read_text())
    if model_type == "vit_hybrid":
        written["model_type"] = "vit-hybrid"  # as published
    if model_type == "pvt":
        # Its configuration class writes a thousand labels of its own; published files carry the real ones.
        written["id2label"] = {str(index): word for index, word in ID2LABEL.items()}
        written["label2id"] = {word: index for index, word in ID2LABEL.items()}
    if model_type == "timm_wrapper":  # as timm publishes: no model_type, no processor's file
        written = {
            "architecture": written["architecture"],
            "num_classes": len(ID2LABEL),
            "label_names": list(ID2LABEL.values()),
            "pretrained_cfg": processor["pretrained_cfg"],
        }
        (folder / "config.json").write_text(json.dumps(written, indent=2))
        return folder
    (folder / "config.json").write_text(json.dumps(written, indent=2))
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=2))
    return folder


def _randomise(model: Any, pixels: Any) -> None:
    """Gives every weight a visible size, batch norms the statistics of pictures, and the logits a spread around 0."""
    import torch

    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "running_mean" in name or "running_var" in name or not tensor.is_floating_point():
                continue
            if tensor.ndim >= 2 and "relative_position_index" not in name:
                fan_in = max(1, tensor[0].numel())
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * (1.5 / fan_in**0.5))
    # Batch norms learn the statistics of their inputs, as training would have taught them.
    norms = [module for module in model.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    if norms:
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 1.0
        model.train()
        with torch.no_grad():
            model(pixel_values=pixels)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.eval()
    heads = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == len(ID2LABEL)
    ]
    with torch.no_grad():
        spread = model(pixel_values=pixels).logits.std(dim=0).mean()
        for head in heads:
            head.weight.mul_(1.5 / spread)
        middle = model(pixel_values=pixels).logits.mean(dim=0)
        for head in heads:
            if head.bias is not None:
                head.bias.sub_(middle)
        logits = model(pixel_values=pixels).logits
    if not 0.5 < float(logits.std(dim=0).mean()) < 4:
        raise AssertionError(f"{type(model).__name__}: pictures do not move the logits, {logits}")


def _pictures(processor: dict[str, Any], model_type: str, config: dict[str, Any]) -> Any:
    """Eight drawn pictures as the network's input."""
    import tempfile

    from transformers.image_utils import load_image

    from gender_classifier.export.network import load_processor
    from gender_classifier.export.pictures import make_pictures

    with tempfile.TemporaryDirectory() as folder:
        images = [load_image(str(path)) for path in make_pictures(Path(folder), 8, seed=2)]
        batch = load_processor(processor, config, model_type)(images=images, return_tensors="pt")
    return batch["pixel_values"]
