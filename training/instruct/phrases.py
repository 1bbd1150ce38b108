"""The wordings of every task. {a} article, {x} noun, {xs} plural, {r} a spatial term, {y}, {ys}
a second noun. Each task of each kind has its own tuple; the builder draws from it.
"""

CLASS = {
    "land": (
        "What is the land cover?", "What land use is shown?", "Which land cover class is this?",
        "What kind of land is this?", "Classify the land use of this image.",
        "What is the main land cover here?", "Name the land cover class.",
        "Which land use class fits this image?", "How is this land used?",
        "What type of land cover does the image show?", "Give the land cover of this patch.",
        "Assign a land use class to the image."),
    "scene": (
        "What scene is this?", "What kind of place is shown?", "Classify the scene.",
        "Which scene class is this?", "What does this image show?", "What is this place?",
        "Name the scene class.", "What type of scene is it?", "Which class describes the scene?",
        "What kind of area can be seen?", "Give the scene category.",
        "Which category does this image belong to?"),
    "vehicle": (
        "What vehicle is this?", "Which target is in the radar image?", "Identify the vehicle.",
        "Classify the target.", "Which vehicle model is shown?", "Name the target.",
        "What is the model of this vehicle?", "Recognise the military vehicle.",
        "Which of the known targets is this?", "What target does the chip show?"),
    "ship": (
        "What type of ship is this?", "Classify the ship.", "What kind of vessel is shown?",
        "Name the ship type.", "Which ship type is in the radar image?", "What ship is this?",
        "Is this a cargo ship, a tanker or another ship?", "Identify the type of vessel.",
        "Which class of ship does the chip show?", "Give the ship class."),
}
CLASS_LIST = (
    "Which of these is it: {list}?", "Choose the class: {list}.",
    "Pick the right class from {list}.", "Is this {list}? Answer with one of them.",
    "Options: {list}. Which one is shown?", "Select one: {list}.",
    "Which one fits best: {list}?", "What is shown, {list}?", "Decide between {list}.",
    "One of {list} is right. Which?")
VEHICLE_TYPE = (
    "What type of vehicle is this?", "What kind of vehicle is in the radar image?",
    "Which type does the target belong to?", "Name the type of the vehicle.",
    "What sort of vehicle is it?", "Give the vehicle type.",
    "Classify the type of the vehicle.", "What is the role of this vehicle?",
    "Which kind of target is this?", "Is it a tank, a truck or something else?")
IS_CLASS = (
    "Is this {a} {x}?", "Does the image show {a} {x}?", "Is {a} {x} shown here?",
    "Does this scene show {a} {x}?", "Is it {a} {x}?", "Would you call this {a} {x}?",
    "Is {a} {x} what the image shows?", "Can this be classified as {a} {x}?",
    "Is the class of this image {x}?", "Is {x} the right class?")
RURAL_URBAN = (
    "Is it a rural or an urban area?", "Is this area rural or urban?", "Rural or urban?",
    "Is the place in town or in the country? Answer rural or urban.",
    "Does the image show a rural or an urban area?", "Is the area urban or rural?",
    "Classify the area as rural or urban.", "Would you call this rural or urban?",
    "Is it an urban or a rural scene?", "What is it, rural or urban?")
PRESENT = (
    "Is there any {x} in the image?", "Are there {xs} in the image?", "Is there {a} {x}?",
    "Can you see {xs}?", "Does the image contain {xs}?", "Are any {xs} visible?",
    "Is at least one {x} in the scene?", "Do you find {xs} here?", "Are there any {xs}?",
    "Is {a} {x} present?", "Does the scene have {a} {x}?", "Are {xs} shown?")
COVER_PRESENT = (
    "Is there any {x} in the image?", "Is there {x}?", "Can you see {x}?",
    "Does the image contain {x}?", "Is any {x} visible?", "Is {x} present?",
    "Does the scene have {x}?", "Do you find {x} here?", "Is some of the area {x}?",
    "Is {x} shown?")
PRESENT_IN = (
    "Is there {a} {x} in {r}?", "Are there {xs} in {r}?", "Can you see any {x} in {r}?",
    "Does {r} contain {a} {x}?", "Is {a} {x} inside {r}?", "Is any {x} at {r}?",
    "Look at {r}: is there {a} {x}?", "Within {r}, are there {xs}?",
    "Do you find {a} {x} in {r}?", "In {r}, is at least one {x} visible?")
COUNT = (
    "How many {xs} are there?", "How many {xs} are in the image?", "Count the {xs}.",
    "What is the number of {xs}?", "How many {xs} can you see?", "Give the number of {xs}.",
    "How many {xs} does the image show?", "Number of {xs}?", "What is the count of {xs}?",
    "Count all {xs} in this scene.", "Tell me how many {xs} are visible.")
COUNT_IN = (
    "How many {xs} are in {r}?", "Count the {xs} in {r}.", "What is the number of {xs} in {r}?",
    "How many {xs} does {r} contain?", "Within {r}, how many {xs} are there?",
    "Give the number of {xs} inside {r}.", "How many {xs} can you see in {r}?",
    "Look at {r} and count the {xs}.", "In {r}, how many {xs} are visible?",
    "Number of {xs} in {r}?")
MORE = (
    "Are there more {xs} than {ys}?", "Is the number of {xs} larger than the number of {ys}?",
    "Do {xs} outnumber {ys}?", "Are {xs} more frequent than {ys}?",
    "Is it true that there are more {xs} than {ys}?", "Are {xs} more numerous than {ys}?",
    "Does the image show more {xs} than {ys}?", "Can you see more {xs} than {ys}?",
    "Comparing {xs} and {ys}: are there more {xs}?", "Do you count more {xs} than {ys}?")
MORE_HALF = (
    "Are there more {xs} in the left half than in the right half?",
    "Does the left half hold more {xs} than the right half?",
    "Left against right: are there more {xs} on the left?",
    "Is the number of {xs} larger on the left than on the right?",
    "Do you count more {xs} on the left side than on the right side?",
    "Are most {xs} in the left half?", "Do more {xs} lie on the left than on the right?",
    "Comparing the halves, has the left one more {xs}?",
    "Is the left half richer in {xs} than the right half?",
    "Are {xs} more numerous on the left?")
COVER_SHARE = (
    "How much of the image is {x}?", "What share of the area is {x}?",
    "Which part of the image is covered by {x}?", "Give the share of {x}.",
    "What is the area covered by {x}?", "How large is the area of {x}?",
    "What fraction of the scene is {x}?", "Estimate the share of {x}.",
    "How much {x} is there?", "What percentage of the image is {x}?")
MORE_COVER = (
    "Is there more {x} than {y}?", "Is the area of {x} larger than the area of {y}?",
    "Does {x} cover more ground than {y}?", "Is more of the image {x} than {y}?",
    "Comparing {x} and {y}: is there more {x}?", "Does the image show more {x} than {y}?",
    "Is {x} more widespread than {y}?", "Does {x} take up more space than {y}?",
    "Is the share of {x} above that of {y}?", "Is {x} the larger of {x} and {y}?")
DAY = (
    "Was this taken by day or at night?", "Is it day or night?", "Is this a day or a night image?",
    "Day or night?", "At what time was this taken, day or night?",
    "Does the thermal image show day or night?", "Was it day or night at the time?",
    "Is the image from the day or the night?", "Tell day from night here.",
    "Is this a night image or a day image?")
LENGTH = (
    "How long is the ship in metres?", "What is the length of the ship?",
    "Estimate the length of the ship in metres.", "How many metres long is the ship?",
    "Give the ship's length in metres.", "What is the ship's length in metres?",
    "How long is this vessel?", "Measure the length of the ship.", "Length of the vessel?",
    "About how long is the ship?")
CAPTION = (
    "Describe the image.", "Write a caption.", "What can be seen in this image?",
    "Describe this scene in one sentence.", "Give a short description of the image.",
    "Caption this image.", "Tell me what the image shows.", "Summarise the scene.",
    "Put the image into words.", "Describe what you see.", "Write one sentence about the image.",
    "Give a caption for the picture.")
INVENTORY = (
    "List what is in the image with numbers.", "Which objects are in the image, and how many?",
    "Give an inventory of the objects.", "Say which objects you see and how many of each.",
    "List the objects and their numbers.", "What objects are there? Give counts.",
    "Count every kind of object.", "Report all objects with counts.",
    "Which kinds of objects do you see, with numbers?", "Make a list of the objects.")
LABELS = (
    "List what the image contains.", "Which objects and covers are in the image?",
    "Name everything you see.", "Which labels apply to this image?",
    "List all labels of the scene.", "What is in this image? Make a list.",
    "Give the objects and land covers.", "Tag this image.", "Which things are visible?",
    "Enumerate the content of the image.")
DETECT = (
    "Find all {xs}.", "Detect the {xs}.", "Where are the {xs}?", "Locate every {x}.",
    "Mark all {xs} with boxes.", "Show the position of each {x}.", "Give boxes for the {xs}.",
    "Point out all {xs}.", "Box every {x} in the image.", "Detect all {xs} in the scene.",
    "List the boxes of all {xs}.")
DETECT_COUNT = (
    "Count the {xs} and box them.", "How many {xs} are there, and where?",
    "Give the number of {xs} with their boxes.", "Count and locate the {xs}.",
    "Number and positions of the {xs}?", "How many {xs} do you see? Mark them.",
    "Find the {xs} and say how many there are.", "Report count and boxes of the {xs}.",
    "Tell how many {xs} there are and show each.", "Count every {x} and mark it.")
DETECT_ALL = (
    "Find all objects and name them.", "Detect every object with its class.",
    "Box and name each object.", "List all objects with boxes.",
    "What is where? Give a box for each object.", "Detect and classify the objects.",
    "Mark every object and say what it is.", "Which objects are where?",
    "Give name and box of every object.", "Find everything and label it.")
GROUND = (
    "Where is the {d}?", "Locate the {d}.", "Find the {d}.", "Give the box of the {d}.",
    "Show me the {d}.", "Mark the {d}.", "Which box holds the {d}?", "Point out the {d}.",
    "Draw a box around the {d}.", "Where can I see the {d}?", "Ground this: the {d}.",
    "What is the position of the {d}?")
GROUND_POINT = (
    "Point to the {d}.", "Give one point on the {d}.", "Click on the {d}.",
    "Where is the centre of the {d}?", "Mark the {d} with a point.", "Set a point on the {d}.",
    "Show the {d} by a point.", "Put a point on the {d}.", "Which point lies on the {d}?",
    "Give the centre of the {d}.")
GROUND_ORIENTED = (
    "Give the oriented box of the {d}.", "Draw a turned box around the {d}.",
    "Which oriented box fits the {d}?", "Locate the {d} with an oriented box.",
    "Where is the {d}? Use an oriented box.", "Mark the {d} with a rotated box.",
    "Find the {d} and its heading axis.", "Show the {d} as a rotated box.",
    "Fit a rotated box to the {d}.", "Box the {d} along its own axis.")
REFER = (
    "What is at {r}?", "What is in {r}?", "What object is in {r}?", "Name the object at {r}.",
    "What do you see at {r}?", "Identify {r}.", "Which object does {r} show?",
    "What is the thing in {r}?", "Tell me what {r} contains.", "Classify the object at {r}.",
    "What kind of object is at {r}?", "Describe {r} in a word.")
REFER_LAND = (
    "What grows at {r}?", "What is the land cover at {r}?", "Which class is {r}?",
    "What is at {r}?", "Name the cover at {r}.", "What kind of ground is at {r}?",
    "Classify {r}.", "Which land cover does {r} show?", "Identify the cover at {r}.",
    "What covers the ground at {r}?")
REFER_DETAIL = (
    "Describe {r}.", "Describe the object in {r} and its place.", "What is {r}, and where?",
    "Write a referring expression for {r}.", "Refer to {r} in words.",
    "How would you describe {r}?", "Give a phrase that picks out {r}.",
    "Say which object {r} is.", "Put {r} into words.", "Describe what {r} marks.")
SAME = (
    "Are {r} and {s} the same kind of object?", "Do {r} and {s} show the same kind of object?",
    "Is the object at {r} of the same kind as the one at {s}?", "Same kind: {r} and {s}?",
    "Compare {r} and {s}: same class?", "Is {r} the same class as {s}?",
    "Do the objects at {r} and {s} belong to one class?", "Are both {r} and {s} alike in kind?",
    "Does {s} show the same class as {r}?", "Is one class shown in {r} and {s}?")
LARGER = (
    "Which is larger, {r} or {s}?", "Which object is bigger, {r} or {s}?",
    "Is the larger object at {r} or {s}?", "Compare the sizes of {r} and {s}.",
    "Which of {r} and {s} is the larger object?", "Larger one: {r} or {s}?",
    "Which object covers more ground, {r} or {s}?", "Between {r} and {s}, which is bigger?",
    "Point out the bigger of {r} and {s}.", "Of {r} and {s}, which is larger?")
SEGMENT = (
    "Segment the {x}.", "Mask the {x}.", "Where is the {x}? Give a mask.", "Outline the {x}.",
    "Show all {x} as a mask.", "Mark every pixel of {x}.", "Give the mask of the {x}.",
    "Which pixels are {x}?", "Map the {x}.", "Extract the {x}.", "Delineate the {x}.",
    "Draw a mask over the {x}.")
SEGMENT_AT = (
    "Segment what is at {r}.", "Segment {r}.", "Give the mask of the thing at {r}.",
    "Mask the area of {r}.", "Which pixels belong to {r}?", "Extract the region at {r}.",
    "Delineate the field at {r}.", "Mask what {r} shows.", "Outline the area around {r}.",
    "Select everything that belongs to {r}.")
POLYGON = (
    "Outline the {x} as a polygon.", "Give a polygon of the {x}.",
    "Draw a polygon around the {x}.", "Trace the largest {x} area as a polygon.",
    "Polygon of the {x}?", "Describe the outline of the {x} by a polygon.",
    "Which polygon bounds the {x}?", "Vectorise the largest {x} area.",
    "Mark the largest {x} area with a polygon.", "Delineate the {x} with a polygon.")
CHANGED = (
    "Has anything changed between the two images?", "Did the area change?",
    "Is there a change between the two dates?", "Was something built or changed here?",
    "Are there changes?", "Do the two images differ on the ground?", "Is anything different?",
    "Did something change from the first to the second image?", "Can you see a change?",
    "Has this place changed?")
CHANGED_IN = (
    "Did {r} change?", "Is there a change in {r}?", "Has anything changed in {r}?",
    "Was {r} altered between the dates?", "Look at {r}: is it different now?",
    "Is {r} part of the change?", "Do the two images differ in {r}?",
    "Did something change inside {r}?", "Between the dates, did {r} change?",
    "Is the ground in {r} different in the second image?")
CHANGE_CAPTION = (
    "What changed?", "Describe the change.", "What is different between the two images?",
    "Write a change caption.", "What happened between the two dates?",
    "Summarise the changes.", "Tell me what changed here.", "Which changes can you see?",
    "Compare the two images.", "How did this place change?", "Describe the difference.")
CHANGE_SEGMENT = (
    "Segment the change.", "Mask what changed.", "Where did it change? Give a mask.",
    "Map the change.", "Which pixels changed?", "Mark the changed area.",
    "Outline all changes.", "Give the change mask.", "Extract the changed pixels.",
    "Show the change as a mask.", "Delineate the change.")
CHANGE_BOX = (
    "Where is the largest change?", "Box the largest change.", "Locate the main change.",
    "Where did it change most?", "Give the box of the biggest change.",
    "Mark the largest changed area with a box.", "Find the largest change.",
    "Show the largest change.", "Which box holds the largest change?",
    "Point out the main change with a box.")
MATCH = (
    "Do the optical and the radar image show the same place?",
    "Is the radar image of the same place as the optical one?",
    "Do both images show the same ground?", "Same place in both sensors?",
    "Do the two images match?", "Is this radar tile co-registered with the optical tile?",
    "Does the SAR image belong to the optical image?", "Were both images taken over one place?",
    "Is it the same area in optical and radar?", "Do the images belong together?")
CHOOSE = (
    "Which radar image shows the same place as image 0?",
    "Image 0 is optical. Which of the radar images matches it?",
    "Find the SAR tile of the place in image 0.",
    "Which of the other images shows the ground of image 0?",
    "Choose the radar image that belongs to image 0.",
    "Match image 0 with one of the radar images.",
    "Which SAR image was taken over the place of image 0?",
    "Pick the radar partner of image 0.", "Image 0 and which other show one place?",
    "Which radar tile fits image 0?")
MOVING = (
    "How many {xs} are moving?", "Count the moving {xs}.", "How many {xs} move in the video?",
    "What is the number of moving {xs}?", "How many {xs} change their place?",
    "Over the clip, how many {xs} are moving?", "Give the number of {xs} in motion.",
    "How many of the {xs} are driving?", "Number of moving {xs}?",
    "Tell how many {xs} are in motion.")
IS_MOVING = (
    "Is the {x} at {r} moving?", "Does the {x} in {r} move?", "Is {r} in motion?",
    "Does the {x} at {r} change its place?", "Moving or parked: does {r} move?",
    "Over the clip, does the {x} at {r} move?", "Is the {x} of {r} driving?",
    "Will the {x} at {r} be somewhere else in the last frame?", "Has {r} moved by the end?",
    "Is the {x} marked by {r} in motion?")
TRACK = (
    "Where is the {x} of {r} in frame {k}?", "Track {r} to frame {k}.",
    "Follow the {x} at {r}: where is it in frame {k}?", "Find {r} again in frame {k}.",
    "Give the box in frame {k} of the {x} at {r}.", "Where has the {x} of {r} gone by frame {k}?",
    "Locate in frame {k} the {x} marked {r}.", "In frame {k}, where is the {x} of {r}?",
    "Box of the {x} {r} in frame {k}?", "Continue the track of {r} to frame {k}.")
VISIBLE_SPAN = (
    "In which frames is the {x} of {r} visible?", "When can the {x} at {r} be seen?",
    "Give the frames that show the {x} of {r}.", "From when to when is {r} in the picture?",
    "Which span of frames shows the {x} of {r}?", "For how long is the {x} {r} visible?",
    "First and last frame of the {x} at {r}?", "Time span of the {x} at {r}?",
    "During which frames is the {x} of {r} there?", "When is the {x} marked {r} visible?")
MOST_FRAME = (
    "Which frame shows the most {xs}?", "In which frame are the most {xs}?",
    "When are the most {xs} visible?", "Find the frame with the most {xs}.",
    "Frame with the largest number of {xs}?", "Which frame has the highest count of {xs}?",
    "At which frame do you count the most {xs}?", "When is the number of {xs} highest?",
    "Which of the frames holds the most {xs}?", "Give the frame with the most {xs}.")
COUNT_FRAME = (
    "How many {xs} are in frame {k}?", "Count the {xs} in frame {k}.",
    "What is the number of {xs} in frame {k}?", "In frame {k}, how many {xs} are there?",
    "How many {xs} does frame {k} show?", "Frame {k}: how many {xs}?",
    "Give the number of {xs} in frame {k}.", "How many {xs} can you see in frame {k}?",
    "At frame {k}, how many {xs} are visible?", "Number of {xs} in frame {k}?")
VIDEO_CAPTION = (
    "Describe the video.", "What happens in the clip?", "Summarise the clip.",
    "What does the image sequence show?", "Write a caption for the video.",
    "Tell me what happens over the frames.", "Describe the sequence.",
    "What can be seen in the video?", "Give a short description of the clip.",
    "Put the clip into words.")
WATER = (
    "Is there water in the image?", "Is any water visible?", "Is the area flooded?",
    "Is there flood water?", "Does the radar image show water?", "Can you see water?",
    "Does the image contain water?", "Is some of the ground under water?",
    "Is open water present?", "Do you find water here?")
WHEN = (
    "When is {d} to be seen?", "In which images can {d} be seen?", "Give the dates with {d}.",
    "From when to when does {d} last?", "Which span of dates shows {d}?",
    "First and last image with {d}?", "During which dates is {d} there?",
    "Which images show {d}?", "Over which dates does {d} appear?", "Time span of {d}?")
GREENEST = (
    "Which image has the most green vegetation?", "When is the vegetation greenest?",
    "In which image do the plants peak?", "Which date has the highest greenness?",
    "Find the image with the most green leaves.", "When are the fields greenest?",
    "At which date is the vegetation at its peak?", "Which of the images is the greenest?",
    "Peak of the growing season: which image?", "Which date shows the most vegetation?")
SEASON = (
    "Which season does image {k} show?", "In what season was image {k} taken?",
    "Season of image {k}?", "What time of the year is image {k}?",
    "Was image {k} taken in spring, summer, autumn or winter?",
    "Name the season of image {k}.", "Image {k}: which season?",
    "Tell the season of image {k}.", "Which quarter of the year does image {k} show?",
    "To which season does image {k} belong?")
CROP = (
    "Which crop grows at {r}?", "What is grown at {r}?", "Is {r} a winter or a summer crop?",
    "Judge by all dates: what grows at {r}?", "Name the crop at {r}.",
    "From the season's course, what is at {r}?", "Classify the field at {r}.",
    "What kind of crop does {r} have over the year?", "Which plants grow at {r}?",
    "Crop type at {r}?")
EVENT_KIND = (
    "What kind of change is it?", "Name the event between the images.",
    "Which event took place?", "Classify the change.", "What sort of event is this?",
    "What type of change happened?", "Give the kind of change.", "Which change class fits?",
    "What happened here, in two words?", "Identify the event.")
NEW_COUNT = (
    "How many {xs} are new?", "How many new {xs} are there?", "Count the new {xs}.",
    "What is the number of new {xs}?", "How many {xs} were added?",
    "How many {xs} are in the second image but not in the first?", "Number of new {xs}?",
    "How many {xs} have appeared?", "Tell how many {xs} are new.",
    "By how many {xs} did the place gain?")
DIRECTION = (
    "Which way does {r} move?", "In what direction does {r} move?",
    "Where is the {x} at {r} heading?", "Give the heading of the {x} at {r}.",
    "What is the direction of motion of {r}?", "To which side does the {x} of {r} move?",
    "Course of the {x} at {r}?", "Towards which direction does {r} travel?",
    "Which compass direction does the {x} at {r} follow?", "Where does {r} go?")
