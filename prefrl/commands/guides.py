"""What each task asks a person, in our own words."""

from prefrl_labeling.guide import Guide

# task -> question, what is good, what is bad
_GUIDES = {
    "hopper": (
        "Which one hops forward better?",
        "Travels to the right, hop after hop, and stays upright. Farther and faster is better.",
        "Falls over, lies on the ground, leans so far that it will fall, stands still or goes backward.",
    ),
    "walker": (
        "Which one walks forward better?",
        "Goes to the right on both feet with its body up and straight. Farther and faster is better.",
        "Falls, crawls on its knees, drags itself along, stands still or goes backward.",
    ),
    "swimmer": (
        "Which one swims forward better?",
        "Winds its whole body so that it glides to the right. Farther is better; a little sideways does not matter.",
        "Wriggles on the spot, drifts backward or curls up.",
    ),
    "cheetah": (
        "Which one runs forward better?",
        "Runs to the right. Farther and faster is better, with strides that look as if they could go on for ever.",
        "Stays on the spot, tumbles, slides on its back or head, or goes backward.",
    ),
    "ant": (
        "Which one walks to the right better?",
        "Goes to the right on its four legs, body off the ground. Farther is better, smooth or not.",
        "Lies on its back, flips over, turns on the spot, stands still or goes another way.",
    ),
    "reacher": (
        "Which one holds its fingertip nearer to the target?",
        "The end of the arm goes to the target without a detour and stays on it.",
        "The end of the arm stays far off, swings past the target or turns round and round.",
    ),
    "double-pendulum": (
        "Which one balances the two poles better?",
        "Both poles stay up, in line and quiet, the cart not far from the middle.",
        "The poles fold or fall; sooner is worse. Wild swinging is worse than a slow sway.",
    ),
    "pendulum": (
        "Which one keeps the pole upright better?",
        "The pole stays up and moves little.",
        "The pole leans or falls; sooner and farther is worse.",
    ),
    "hopper-backflip": (
        "Which one is nearer to a backflip?",
        "Jumps, turns over backward in the air and lands on its foot, ready for the next. More of the turn is better.",
        "Falls on its back without a jump, turns forward, lies or rolls on the ground, stands still.",
    ),
    "cheetah-one-leg": (
        "Which one runs better on its hind leg alone?",
        "Goes to the right with its front leg off the ground all the time. Faster is better, up to a brisk run.",
        "Sets its front leg or its body down, lies on its back, stands still or goes backward.",
    ),
    "moving-dot": (
        "Which dot gets to the middle better?",
        "Goes straight to the cross in the middle and stays there.",
        "Stays away from the middle, or wanders off again.",
    ),
    "beamrider": (
        "Which one plays the ship better?",
        "Shoots enemies and keeps out of the way of all that comes down. More hits are better.",
        "Is hit and lost; or shoots past them, or does not shoot.",
    ),
    "breakout": (
        "Which one plays the paddle better?",
        "Knocks bricks out of the wall, more and higher ones, and sends the ball back each time. Serves soon.",
        "Misses the ball; or does not serve, so that there is none.",
    ),
    "enduro": (
        "Which one drives better?",
        "Passes other cars, many of them, fast and without touching them or the edge of the road.",
        "Is passed, runs into a car or leaves the road, goes slowly or stands.",
    ),
    "pong": (
        "Which one plays the green paddle, on the right, better?",
        "The ball gets past the other paddle. Or, where it does not, every ball that comes is sent back.",
        "The ball gets past the green paddle; or it waits away from where the ball comes.",
    ),
    "qbert": (
        "Which one plays the hopping creature better?",
        "Changes the color of cubes it has not been on yet, and keeps away from all that comes down.",
        "Jumps off the pyramid or is caught; or hops to and fro on cubes that it has done.",
    ),
    "seaquest": (
        "Which one plays the submarine better?",
        "Shoots fish and submarines, picks up divers, and comes up for air in time. More hits are better.",
        "Is lost: hit, run into, or out of air. Or does nothing much.",
    ),
    "spaceinvaders": (
        "Which one plays the cannon better?",
        "Shoots invaders, one after the other, and keeps out of their fire, under a shield if need be.",
        "Is hit; or shoots into the air or its own shields, or does not shoot.",
    ),
}


# Of all others, by domain.
_PLAIN = {
    "control": (
        "Which one does the task better?",
        "Gets nearer to what you want of it, in a way that you would like to see again.",
        "Gets nowhere, undoes what it had reached, or does harm on the way.",
    ),
    "text": (
        "Which answer is better?",
        "Does what the prompt asks, all of it and nothing else, says only what is so, and comes to an end.",
        "Answers something else, makes things up, repeats itself, or breaks off.",
    ),
}


def guide_of(task: str, domain: str = "control") -> Guide:
    """The guide of a task; a plain one for a task that we have no words for."""
    return Guide(task, *_GUIDES.get(task, _PLAIN[domain]))
