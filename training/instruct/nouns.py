"""Words for classes and objects: one spelling per class over all sets, singular and plural."""

EUROSAT = {
    "AnnualCrop": "annual crop", "Forest": "forest", "HerbaceousVegetation":
    "herbaceous vegetation", "Highway": "highway", "Industrial": "industrial area",
    "Pasture": "pasture", "PermanentCrop": "permanent crop", "Residential": "residential area",
    "River": "river", "SeaLake": "sea or lake"}
AID = {
    "Airport": "airport", "BareLand": "bare land", "BaseballField": "baseball field",
    "Beach": "beach", "Bridge": "bridge", "Center": "center", "Church": "church",
    "Commercial": "commercial area", "DenseResidential": "dense residential area",
    "Desert": "desert", "Farmland": "farmland", "Forest": "forest", "Industrial":
    "industrial area", "Meadow": "meadow", "MediumResidential": "medium residential area",
    "Mountain": "mountain", "Park": "park", "Parking": "parking lot", "Playground": "playground",
    "Pond": "pond", "Port": "port", "RailwayStation": "railway station", "Resort": "resort",
    "River": "river", "School": "school", "SparseResidential": "sparse residential area",
    "Square": "square", "Stadium": "stadium", "StorageTanks": "storage tanks",
    "Viaduct": "viaduct"}
UCM = {
    "agricultural": "farmland", "airplane": "airplane", "baseballdiamond": "baseball field",
    "beach": "beach", "buildings": "buildings", "harbor": "harbor", "intersection":
    "intersection", "mediumresidential": "medium residential area", "mobilehomepark":
    "mobile home park", "overpass": "overpass", "parkinglot": "parking lot", "river": "river",
    "runway": "runway", "sparseresidential": "sparse residential area", "storagetanks":
    "storage tanks", "tenniscourt": "tennis court"}
MSTAR_TYPE = {
    "2S1": "self-propelled gun", "BMP2": "infantry vehicle", "BRDM2": "scout car",
    "BTR60": "personnel carrier", "BTR70": "personnel carrier", "D7": "bulldozer", "T62": "tank",
    "T72": "tank", "ZIL131": "truck", "ZSU234": "air defence gun"}
SHIP_TYPE = {"Cargo": "cargo ship", "Tanker": "tanker", "Other": "other ship"}
CLASS_NAMES = {
    "eurosat_rgb": EUROSAT, "eurosat_ms": EUROSAT, "aid_rsicd": AID, "ucm_multilabel": UCM,
    "mstar": {k: k.lower() for k in MSTAR_TYPE}, "opensarship": SHIP_TYPE}
# how the class of a set is asked for, a key of phrases.CLASS
STYLE = {"eurosat_rgb": "land", "eurosat_ms": "land", "aid_rsicd": "scene",
         "ucm_multilabel": "scene", "mstar": "vehicle", "opensarship": "ship"}
URBAN = {"eurosat_rgb": {"Industrial", "Residential"},
         "eurosat_ms": {"Industrial", "Residential"},
         "aid_rsicd": {"Commercial", "DenseResidential", "Center", "Industrial", "Square",
                       "MediumResidential"}}
RURAL = {"eurosat_rgb": {"AnnualCrop", "Forest", "HerbaceousVegetation", "Pasture",
                         "PermanentCrop"},
         "eurosat_ms": {"AnnualCrop", "Forest", "HerbaceousVegetation", "Pasture",
                        "PermanentCrop"},
         "aid_rsicd": {"Desert", "Farmland", "Forest", "Meadow", "Mountain", "BareLand"}}

UCM_COVERS = {"bare-soil": "bare soil", "chaparral": "chaparral", "grass": "grass", "pavement":
              "pavement", "sand": "sand", "sea": "sea", "water": "water"}
UCM_THINGS = {"airplane": ("airplane", "airplanes"), "buildings": ("building", "buildings"),
              "cars": ("car", "cars"), "court": ("tennis court", "tennis courts"),
              "dock": ("dock", "docks"), "field": ("field", "fields"),
              "mobile-home": ("mobile home", "mobile homes"), "ship": ("ship", "ships"),
              "tanks": ("storage tank", "storage tanks"), "trees": ("tree", "trees")}
PINES = {
    "alfalfa": "alfalfa", "corn-notill": "corn without tillage", "corn-mintill":
    "corn with little tillage", "corn": "corn", "grass-pasture": "pasture", "grass-trees":
    "grass with trees", "grass-pasture-mowed": "mowed pasture", "hay-windrowed": "hay", "oats":
    "oats", "soybean-notill": "soybean without tillage", "soybean-mintill":
    "soybean with little tillage", "soybean-clean": "clean soybean", "wheat": "wheat", "woods":
    "woods", "buildings-grass-trees-drives": "buildings with grass and trees",
    "stone-steel-towers": "stone and steel towers"}

# kind -> (singular, plural), first the usual word, then others
NOUNS = {
    "aircraft": (("aircraft", "aircraft"), ("airplane", "airplanes"), ("plane", "planes")),
    "helicopter": (("helicopter", "helicopters"),),
    "car": (("car", "cars"), ("passenger car", "passenger cars")),
    "van": (("van", "vans"),),
    "truck": (("truck", "trucks"), ("lorry", "lorries")),
    "bus": (("bus", "buses"),),
    "minibus": (("minibus", "minibuses"),),
    "long vehicle": (("long vehicle", "long vehicles"),),
    "boat": (("boat", "boats"),),
    "ship": (("ship", "ships"), ("vessel", "vessels")),
    "person": (("person", "people"), ("person", "persons"), ("pedestrian", "pedestrians")),
    "bicycle": (("bicycle", "bicycles"), ("bike", "bikes")),
    "tree": (("tree", "trees"), ("tree crown", "tree crowns")),
    "vehicle": (("vehicle", "vehicles"), ("motor vehicle", "motor vehicles")),
    "tank": (("storage tank", "storage tanks"), ("oil tank", "oil tanks")),
    "building": (("building", "buildings"), ("house", "houses")),
    "object": (("object", "objects"), ("target", "targets")),
}
# every kind of object a box can have; order is the model's table of region kinds
KINDS = ("aircraft", "helicopter", "car", "van", "truck", "bus", "minibus", "long vehicle",
         "boat", "ship", "person", "bicycle", "tree", "tank", "building", "vehicle", "object")
VEHICLES = frozenset(("car", "van", "truck", "bus", "minibus", "long vehicle", "vehicle"))
_KIND = {
    "airliner": "aircraft", "propeller": "aircraft", "trainer": "aircraft", "chartered":
    "aircraft", "fighter": "aircraft", "Car": "car", "OtherVehicle": "vehicle", "Person":
    "person", "Bicycle": "bicycle", "long-vehicle": "long vehicle", "stair-truck": "truck",
    "other": "object", "DontCare": ""}


def kind_of(label: str) -> str:
    """Kind of a set's box label; "" for regions that say nothing."""
    return _KIND.get(label, label)


def belongs(kind: str, group: str) -> bool:
    """Whether an object of `kind` is one of `group` (a kind, or "vehicle" for all of them)."""
    return kind == group or (group == "vehicle" and kind in VEHICLES)


def groups_of(set_name: str, facts: dict) -> tuple[str, ...]:
    """Kinds that can be asked about: those the annotators of the sample's source looked for."""
    if set_name == "objects_rgb":
        return {"hrplanes": ("aircraft",),   # its cars are unknown: only aircraft were boxed
                "minsk_uav": ("vehicle", "car", "truck", "bus", "minibus"),
                "simd": ("vehicle", "car", "van", "truck", "bus", "long vehicle", "boat",
                         "aircraft")}[facts["source"]]
    return {"hit_uav": ("vehicle", "person", "bicycle"), "trees": ("tree",),
            "s2_ships": ("ship",), "sar_ships": ("ship",),
            "aerial_video": ("vehicle", "car", "bus", "minibus")}.get(set_name, ())


UNCOUNTED = frozenset((*UCM_COVERS.values(), "farmland", "bare land", "herbaceous vegetation",
                       "annual crop", "permanent crop", "water", "vegetation"))


def article(noun: str) -> str:
    """"a", "an", or "" before a plural or a mass noun."""
    if noun in UNCOUNTED or (noun.endswith("s") and not noun.endswith(("ss", "us"))):
        return ""
    return "an" if noun[0] in "aeiou" else "a"


def fill(template: str, noun: str = "", plural: str = "", **more: str) -> str:
    """Template with {a} article, {x} singular, {xs} plural; spaces tidied."""
    text = template.format(a=article(noun) if noun else "", x=noun, xs=plural or noun, **more)
    text = " ".join(text.split())
    return text[0].upper() + text[1:]


def number_of(n: int, kind: str) -> str:
    """"1 ship", "3 ships"."""
    singular, plural = NOUNS[kind][0]
    return f"{n} {singular if n == 1 else plural}"
