"""What to build: architectures, search space, controller and other strategies, reward, distillation."""
