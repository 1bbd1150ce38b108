"""Questions and answers from labels, several phrasings a task, yes and no in balance.

Balance: for each object the chance of asking is set so that yes and no answers are equally many
over a set; in the test lists the rarer answer decides how many of the commoner are kept. So a
model that does not look cannot gain from the answer's frequency.
"""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass

from training.instruct.nouns import AID, EUROSAT, MSTAR_TYPE, UCM

CLASS_NAMES = {"eurosat_rgb": EUROSAT, "eurosat_ms": EUROSAT, "aid_rsicd": AID,
               "ucm_multilabel": UCM, "mstar": {k: k.lower() for k in MSTAR_TYPE}}

ASK_CLASS = {
    "land": ["What is the land cover?", "What land use is shown?",
             "Which land cover class is this?", "What kind of land is this?",
             "Classify the land use of this image.", "What is the main land cover here?"],
    "scene": ["What scene is this?", "What kind of place is shown?", "Classify the scene.",
              "Which scene class is this?", "What does this image show?", "What is this place?"],
    "vehicle": ["What vehicle is this?", "Which target is in the radar image?",
                "Identify the vehicle.", "Classify the target.", "Which vehicle model is shown?"]}
STYLE = {"eurosat_rgb": "land", "eurosat_ms": "land", "aid_rsicd": "scene",
         "ucm_multilabel": "scene", "mstar": "vehicle"}
ASK_CAPTION = ["Describe the image.", "Write a caption.", "What can be seen in this image?",
               "Describe this scene in one sentence.", "Give a short description of the image."]
ASK_IS = ["Is this {a} {x}?", "Does the image show {a} {x}?", "Is {a} {x} shown here?",
          "Does this scene show {a} {x}?"]
ASK_PRESENT = ["Is there any {x} in the image?", "Are there {xs} in the image?",
               "Is there {a} {x}?", "Can you see {xs}?", "Does the image contain {xs}?",
               "Are any {xs} visible?"]
ASK_COVER = ["Is there any {x} in the image?", "Is there {x}?", "Can you see {x}?",
             "Does the image contain {x}?", "Is any {x} visible?"]
ASK_COUNT = ["How many {xs} are there?", "How many {xs} are in the image?", "Count the {xs}.",
             "What is the number of {xs}?", "How many {xs} can you see?"]
ASK_DAY = ["Was this taken by day or at night?", "Is it day or night?",
           "Is this a day or a night image?"]
ASK_CHANGE = ["Has anything changed between the two images?", "Did the area change?",
              "Is there a change between the two dates?", "Was something built or changed here?",
              "Are there changes?"]
ASK_WATER = ["Is there water in the image?", "Is any water visible?", "Is the area flooded?",
             "Is there flood water?", "Does the radar image show water?"]
ASK_TYPE = ["What type of vehicle is this?", "What kind of vehicle is in the radar image?"]
COVERS = {"bare-soil": "bare soil", "chaparral": "chaparral", "grass": "grass", "pavement":
          "pavement", "sand": "sand", "sea": "sea", "water": "water"}
THINGS = {"airplane": ("airplane", "airplanes"), "buildings": ("building", "buildings"),
          "cars": ("car", "cars"), "court": ("court", "courts"), "dock": ("dock", "docks"),
          "field": ("field", "fields"), "mobile-home": ("mobile home", "mobile homes"),
          "ship": ("ship", "ships"), "tanks": ("tank", "tanks"), "trees": ("tree", "trees")}
NOUNS = {"aircraft": [("aircraft", "aircraft"), ("airplane", "airplanes"), ("plane", "planes")],
         "vehicle": [("vehicle", "vehicles"), ("car", "cars")],
         "person": [("person", "people"), ("person", "persons")]}
GROUPS = {"aircraft": {"aircraft", "airliner", "propeller", "trainer", "chartered", "fighter"},
          "vehicle": {"car", "bus", "truck", "van", "minibus", "long-vehicle", "Car",
                      "OtherVehicle"},
          "person": {"Person"}}
MOST = 60          # larger counts are not asked


@dataclass(frozen=True, slots=True)
class Question:
    """focus: what the prompt points at: '' unknown, 'all', 'mask', or a key of GROUPS."""

    prompt: str
    answer: str
    kind: str
    focus: str = ""


def _article(noun: str) -> str:
    if noun.endswith("s") and noun != "tennis":
        return ""
    return "an" if noun[0] in "aeiou" else "a"


def _fill(template: str, noun: str, plural: str | None = None) -> str:
    text = template.format(a=_article(noun), x=noun, xs=plural or noun)
    return " ".join(text.split())


def count_of(sample, group: str) -> int:
    """Objects of a group in a sample with boxes."""
    return sum(label in GROUPS[group] for label, _ in sample.boxes)


def _counted_groups(sample) -> list[str]:
    if sample.set_name == "hit_uav":
        return ["vehicle", "person"]
    # The airport pictures carry boxes of aircraft only: their cars are unknown.
    return ["aircraft"] if sample.facts["source"] == "hrplanes" else ["aircraft", "vehicle"]


class QuestionMaker:
    """Questions for samples; knows how common each answer is in the list it was built from."""

    def __init__(self, samples) -> None:
        self._share = defaultdict(Counter)
        for s in samples:
            for name, truth in self._facts(s):
                self._share[s.set_name, name][truth] += 1
        self._classes = {n: sorted(set(c.values())) for n, c in CLASS_NAMES.items()}

    @staticmethod
    def _facts(s):
        """(name, yes or no) statements that can be asked about a sample."""
        if s.set_name == "ucm_multilabel":
            return [(o, o in s.facts["objects"]) for o in [*COVERS, *THINGS]]
        if s.set_name in ("hit_uav", "objects_rgb"):
            return [(g, count_of(s, g) > 0) for g in _counted_groups(s)]
        if s.set_name in ("flood_s1", "change_pairs"):
            return [("label", s.facts["label"] in ("water", "changed"))]
        return []

    def _keep(self, sample, name, truth, rng) -> bool:
        share = self._share[sample.set_name, name]
        return rng.random() < min(1.0, share[not truth] / max(1, share[truth]))

    def ask(self, s, rng: random.Random) -> list[Question]:
        """All questions this draw allows, random phrasing; the caller picks some of them."""
        out = []
        if s.set_name in CLASS_NAMES:
            out += self._ask_class(s, rng)
        for caption in s.facts.get("captions", [])[:5]:
            out.append(Question(rng.choice(ASK_CAPTION), caption, "caption", "all"))
        for name, truth in self._facts(s):
            if self._keep(s, name, truth, rng):
                out.append(self.presence(s, name, truth, rng))
        if s.set_name in ("hit_uav", "objects_rgb"):
            out += [self.count(s, g, rng) for g in _counted_groups(s) if count_of(s, g) <= MOST]
        if s.set_name == "hit_uav":
            out.append(Question(rng.choice(ASK_DAY), s.facts["day_night"], "day", "all"))
        for qa in s.facts.get("qa", []):
            if qa["type"] != "area" and not (qa["type"] == "count" and int(qa["a"]) > MOST):
                out.append(Question(qa["q"], qa["a"], f"rsvqa_{qa['type']}"))
        return out

    def _ask_class(self, s, rng):
        names = CLASS_NAMES[s.set_name]
        name = names[s.facts["label"]]
        out = [self.scene_class(s, rng)]
        shown = name
        if rng.random() < 0.5:
            shown = rng.choice([n for n in self._classes[s.set_name] if n != name])
        out.append(Question(_fill(rng.choice(ASK_IS), shown), "yes" if shown == name else "no",
                            "is_class", "all"))
        if s.set_name == "mstar":
            out.append(Question(rng.choice(ASK_TYPE), MSTAR_TYPE[s.facts["label"]], "type", "all"))
        return out

    @staticmethod
    def scene_class(s, rng) -> Question:
        name = CLASS_NAMES[s.set_name][s.facts["label"]]
        return Question(rng.choice(ASK_CLASS[STYLE[s.set_name]]), name, "class", "all")

    @staticmethod
    def presence(s, name, truth, rng) -> Question:
        answer = "yes" if truth else "no"
        if s.set_name == "flood_s1":
            return Question(rng.choice(ASK_WATER), answer, "presence", "mask")
        if s.set_name == "change_pairs":
            return Question(rng.choice(ASK_CHANGE), answer, "change", "mask")
        if name in COVERS:
            return Question(_fill(rng.choice(ASK_COVER), COVERS[name]), answer, "presence")
        focus = name if name in GROUPS else ""
        noun = rng.choice(NOUNS[name]) if name in GROUPS else THINGS[name]
        return Question(_fill(rng.choice(ASK_PRESENT), *noun), answer, "presence", focus)

    @staticmethod
    def count(s, group, rng) -> Question:
        noun = rng.choice(NOUNS[group])
        return Question(_fill(rng.choice(ASK_COUNT), *noun), str(count_of(s, group)), "count",
                        group)


def balanced(pairs, rng: random.Random):
    """(sample, question) pairs, thinned so that each answer is as frequent as the rarest."""
    by_answer = defaultdict(list)
    for pair in pairs:
        by_answer[pair[1].answer].append(pair)
    if len(by_answer) < 2:
        return []
    least = min(map(len, by_answer.values()))
    return [p for v in by_answer.values() for p in rng.sample(v, least)]


def exam(samples, seed: int = 0):
    """Held-out questions of one set: {task: [(sample, Question)]}, deterministic.

    Class, caption and count tasks take every sample; yes/no tasks are balanced, per object, or for
    foreign questions per wording.
    """
    rng, maker = random.Random(seed), QuestionMaker(samples)
    tasks, yes_no, foreign = defaultdict(list), defaultdict(list), defaultdict(list)
    for s in samples:
        if s.set_name in CLASS_NAMES:
            tasks["class"].append((s, maker.scene_class(s, rng)))
            tasks["is_class"].append((s, maker._ask_class(s, rng)[1]))
        if s.facts.get("captions"):
            tasks["caption"].append((s, Question(ASK_CAPTION[0], "", "caption")))
        for name, truth in maker._facts(s):
            kind = "change" if s.set_name == "change_pairs" else "presence"
            yes_no[f"{kind}_{name}".removesuffix("_label"), name].append(
                (s, maker.presence(s, name, truth, rng)))
        if s.set_name in ("hit_uav", "objects_rgb"):
            for g in _counted_groups(s):
                tasks[f"count_{g}"].append((s, maker.count(s, g, rng)))
        if s.set_name == "hit_uav":
            day = Question(rng.choice(ASK_DAY), s.facts["day_night"], "day")
            yes_no["day", ""].append((s, day))
        for qa in s.facts.get("qa", []):
            if qa["type"] in ("presence", "comp", "rural_urban"):
                foreign[qa["q"]].append((s, Question(qa["q"], qa["a"], f"rsvqa_{qa['type']}")))
    for (task, _), pairs in yes_no.items():
        name = "presence" if samples[0].set_name == "ucm_multilabel" else task
        tasks[name] += balanced(pairs, rng)
    for pairs in foreign.values():
        tasks["yes_no"] += balanced(pairs, rng)
    return {k: v for k, v in tasks.items() if v}
