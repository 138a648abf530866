"""Teachers for the tests of derived students: random, small, of every kind that is derived from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stillhouse import students

PLAIN = ("mlp_large", "cnn_large", "resnet_small", "vit_tiny")
ENCODERS = ("BertForSequenceClassification", "RobertaForSequenceClassification", "DistilBertForSequenceClassification")
SIZES = {"vocab_size": 90, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64}


def encoder(name: str = ENCODERS[0], seed: int = 0, **sizes: Any) -> Any:
    """A Hugging Face encoder with weights drawn at random, large enough that layers matter."""
    import transformers

    torch.manual_seed(seed)
    kind = getattr(transformers, name)
    given = SIZES | {"max_position_embeddings": 40, "num_labels": 3} | sizes
    if name.startswith("DistilBert"):
        given["hidden_dim"] = given.pop("intermediate_size")
    net = kind(kind.config_class(**given)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3.0) if parameter.ndim > 1 else parameter.add_(0.1 * torch.randn_like(parameter))
    return net


def token_ids(rows: int = 6, length: int = 10, vocabulary: int = 90) -> Tensor:
    """Ids with padding 1 at the end of half of the rows, which RoBERTa reads as padding and BERT as a word."""
    ids = torch.randint(3, vocabulary, (rows, length), generator=torch.Generator().manual_seed(7))
    ids[::2, -3:] = 1
    return ids


def plain(name: str) -> nn.Module:
    """A net of the zoo for small images."""
    torch.manual_seed(1)
    return students.make(name, shape=(1, 16, 16), outputs=5, settings={}).eval()


def images(rows: int = 6) -> Tensor:
    return torch.randn(rows, 1, 16, 16, generator=torch.Generator().manual_seed(3))


class Residual(nn.Module):
    """A bottleneck with a depthwise convolution, as residual nets of the field are written."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x
        activated: Tensor = self.relu(out)
        return activated


class ResidualNet(nn.Module):
    """Stem, five interchangeable blocks, average over the map, flattened with ``view``, two linear layers."""

    def __init__(self, width: int = 8, inner: int = 12, blocks: int = 5) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, 2, 1)
        self.bn = nn.BatchNorm2d(width)
        self.layer1: Any = nn.Sequential(*(Residual(width, inner) for _ in range(blocks)))
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.hidden = nn.Linear(4 * width, 6)
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.layer1(torch.relu(self.bn(self.stem(x)))))
        x = x.view(x.size(0), -1)
        logits: Tensor = self.fc(torch.relu(self.hidden(x)))
        return logits


def residual_net() -> ResidualNet:
    """With batch norm statistics that are not those of the start."""
    torch.manual_seed(2)
    net = ResidualNet()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.bias, std=0.2)
    return net.eval()
