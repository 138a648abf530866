"""Knowledge distillation that proves whether it paid."""
