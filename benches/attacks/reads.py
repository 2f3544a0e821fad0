#!/usr/bin/env python3
"""Products, and what is similar to them, read by many clients at the same time: each read needs a connection to the database."""

from counted import arguments, ask, run


def main():
    given = arguments(__doc__, clients=48)

    def attack(client, turn):
        product = f"/v1/products/fashion-mnist-train-{(client * 1_000_003 + turn * 7919) % 60_000}"
        similar = turn % 2 == 1
        return "similar" if similar else "product", ask(given, "GET", f"{product}/similar?k=100" if similar else product)

    run(given, attack)


if __name__ == "__main__":
    main()
