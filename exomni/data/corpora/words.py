"""The vocabulary of the built-in corpus: slot name -> phrases that may stand there.

Small on purpose: every word has to occur often enough in about 40 minutes of speech to be learnt, and all English phones
have to occur, lip closures (p b m) and lip-to-teeth contacts (f v) above all.
"""

from __future__ import annotations

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
COLORS = ("red", "blue", "green", "yellow", "white", "black", "brown", "orange", "purple", "pink")
ANIMALS_BY_SIZE = ("ant", "bee", "mouse", "frog", "duck", "cat", "dog", "pig", "cow", "horse", "elephant")

SLOTS: dict[str, tuple[str, ...]] = {
    "name": (
        "Emma", "Tom", "Anna", "Ben", "Mia", "Peter", "Sophie", "Victor", "Bob", "Fiona", "Max", "Lily", "Pam", "Jack",
    ),
    "person": (
        "my mother", "my father", "my brother", "my sister", "the teacher", "the doctor", "the farmer", "the baby",
        "our boss", "the pilot",
    ),
    "noun": (
        "boat", "book", "ball", "box", "bike", "lamp", "map", "phone", "violin", "piano", "bag", "hat", "coat", "cup",
        "key", "knife", "chair", "table", "ring", "shirt", "watch", "picture", "letter", "toy", "basket", "pillow", "mirror",
        "candle",
    ),
    "plural": (
        "boats", "books", "balls", "bikes", "lamps", "maps", "cups", "keys", "chairs", "toys", "birds", "apples",
    ),
    "adjective": (
        "big", "small", "old", "new", "wet", "dry", "clean", "dirty", "full", "empty", "heavy", "broken", "pretty",
        "famous", "soft", *COLORS,
    ),
    "quality": ("big", "small", "old", "clean", "dirty", "heavy", "broken", "pretty", "famous", "wet", "cheap"),
    "owner": ("the", "my", "your", "our", "this"),
    "number": NUMBERS[1:],
    "animal": (*ANIMALS_BY_SIZE[2:], "lion", "sheep", "bird"),
    "place": (
        "in the garden", "on the table", "near the river", "behind the house", "under the bed", "at the market",
        "by the window", "in the kitchen", "at the school", "on the bridge", "in the park", "at the beach", "near the farm",
        "in the village", "above the shop", "in the forest",
    ),
    "time": (
        *(f"on {day}" for day in DAYS), "today", "tomorrow", "tonight", "this morning", "after lunch", "before dinner",
        "next week",
    ),
    "food": (
        "bread", "cheese", "fish", "soup", "rice", "honey", "milk", "coffee", "pizza", "beef", "chocolate", "butter",
    ),
    "meal": ("breakfast", "lunch", "dinner"),
    "activity": (
        "play music", "visit the farm", "paint the fence", "move to the village", "bake bread", "wash the car",
        "fix the roof", "leave the house", "watch a movie", "open the shop", "build a boat", "sing a song",
        "feed the horse", "cook fish", "swim in the river", "pick apples",
    ),
    "did": (
        "bought", "found", "lost", "sold", "took", "moved", "washed", "kept", "dropped", "painted", "wanted", "brought",
    ),
    "do": ("find", "move", "wash", "paint", "fix", "leave", "take", "watch"),
    "rested": ("slept", "jumped", "played", "fell", "stopped"),
    "good": ("beautiful", "wonderful", "perfect", "lovely"),
    "bad": ("terrible", "awful"),
    "by_the_way": ("by the way,", "as usual,", "as always,"),
    "hooray": ("hooray,", "wow,", "good news,", "guess what,"),
    "alas": ("sadly,", "bad news,", "oh dear,", "I am so sorry,"),
    "indeed": ("believe me,", "I am certain,", "no jokes now,", "listen to me,"),
}  # fmt: skip
