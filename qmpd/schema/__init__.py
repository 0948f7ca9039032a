"""The contract: what commands take and give, checked and told as QEMU does."""
