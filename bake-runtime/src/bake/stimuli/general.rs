//! General requests: what anybody may ask a model, from which a behaviour is learned.
//!
//! A behaviour is to be kept whatever is asked, so there are many kinds, of every length, and in
//! the forms in which people write: questions, orders, half sentences, a few words. None is in the
//! table of everyday requests, which anchors ask.

use super::table::some_of;

/// The table, of many kinds, each kind on its own lines.
const REQUESTS: &[&str] = &[
    // Greetings and small talk.
    "Good evening!",
    "Hey, how is it going?",
    "Nice to meet you.",
    "What have you been doing today?",
    "It is raining again here.",
    "I just came back from a walk.",
    "Thanks, that helped a lot.",
    "See you later!",
    "Who are you, and what do you do?",
    "Do you have a family?",
    "Where do you live?",
    "Are you there?",
    // The world.
    "What is the capital of Japan?",
    "Who discovered penicillin?",
    "Why do leaves turn red in autumn?",
    "How tall is Mount Everest?",
    "Which is the longest river in the world?",
    "When was the first landing on the moon?",
    "Who was Cleopatra?",
    "What causes an earthquake?",
    "How many bones does a human have?",
    "What is the boiling point of water?",
    "Who invented the telephone?",
    "Which countries border Switzerland?",
    "What do pandas eat?",
    "Why is the sea salty?",
    "what currency do they use in India",
    "How old is the universe?",
    "Name the four seasons.",
    "Tell me something about volcanoes.",
    "What is the difference between a frog and a toad?",
    // Explanations.
    "Explain gravity to a child.",
    "How does a bicycle stay upright?",
    "Explain in two sentences what inflation is.",
    "How does a vaccine work?",
    "What is a black hole, in simple words?",
    "Explain the rules of football.",
    "Why do we dream?",
    "How do aeroplanes fly?",
    "What does a lawyer do all day?",
    "How is paper made?",
    "Explain what a noun is.",
    // Writing.
    "Write a poem about the moon.",
    "Write two sentences about winter.",
    "Write a short story about a lost dog.",
    "Write an email to my boss: I am ill and stay at home today.",
    "Write a birthday card for my grandmother.",
    "Invent a slogan for a bakery.",
    "Write a limerick about a sailor.",
    "Describe a sunset.",
    "Write a product description for a blue mug.",
    "Give me three titles for a detective story.",
    "Write an invitation to a garden party.",
    "Tell me a riddle.",
    "Tell me a story.",
    "Write the first line of a novel.",
    "Apologise to my neighbour for the noise last night.",
    // Working on a text.
    "Summarise this: The shop opens at nine. It closes at six, and on Sundays it stays closed.",
    "Make this sentence more polite: Give me the report.",
    "Correct the mistakes: i has went to the libary yesterday",
    "Shorten this: Due to the fact that it was raining, we made the decision to stay at home.",
    "Say this in other words: The early bird catches the worm.",
    "Is this sentence in the past tense? She walks to work.",
    "Find the verb in this sentence: The children play in the yard.",
    "Turn this into a question: The train leaves at five.",
    "Put these words in alphabetical order: pear, apple, cherry.",
    // Languages.
    "Translate into French: Where is the station?",
    "How do you say thank you in Japanese?",
    "Translate into Spanish: I would like a coffee, please.",
    "What does the German word Haus mean?",
    "Translate to Italian: good morning",
    "What is the opposite of expensive?",
    "Give me a synonym for quick.",
    "What does it mean to break the ice?",
    "How do you spell necessary?",
    "Use the word gentle in a sentence.",
    "Which words rhyme with light?",
    // Lists.
    "List five animals that live in the sea.",
    "Name three inventions of the last century.",
    "Give me a shopping list for a salad.",
    "List the days of the week.",
    "Name four musical instruments.",
    "What are the colours of the rainbow?",
    "Give me ten words that begin with B.",
    "List three reasons to get up early.",
    "Which tools do I need to hang a picture?",
    "Name two famous painters and one of their works each.",
    // Instructions and plans.
    "How do I make pancakes?",
    "How do I tie a tie?",
    "How can I remove a splinter?",
    "How do I change a flat tyre?",
    "Give me a recipe for tomato soup.",
    "How do I plant a tree?",
    "Plan a weekend in Rome for two people.",
    "Make a timetable for a day of studying.",
    "How do I write a letter of application?",
    "How do you play chess?",
    "How do I take care of a cactus?",
    "Give me a workout for ten minutes.",
    // Advice.
    "I cannot fall asleep. What can I do?",
    "Should I learn French or Spanish?",
    "What should I wear to a wedding?",
    "How do I ask for a higher salary?",
    "My friend does not answer my messages. What should I do?",
    "Which pet suits a small flat?",
    "How can I stop biting my nails?",
    "What is a good hobby for a shy person?",
    "I want to read more. Any tips?",
    "What can I give a friend who has everything?",
    "How do I start running?",
    "Is it a good idea to lend money to a friend?",
    "my phone fell into the water what now",
    // Feelings.
    "I am so happy today!",
    "I feel lonely.",
    "My cat died yesterday.",
    "I failed my exam.",
    "I am angry with my brother.",
    "I am in love.",
    "I am afraid of flying.",
    "Nobody likes me.",
    "I got the job!",
    "Everything is too much for me at the moment.",
    // Numbers.
    "What is 48 divided by 6?",
    "How much is 15 % of 200?",
    "Add 123 and 456.",
    "What is the square root of 81?",
    "A shirt costs 40 euros and is reduced by a quarter. What does it cost now?",
    "How many minutes are in three hours?",
    "Convert 20 degrees Celsius to Fahrenheit.",
    "Is 57 a prime number?",
    "What comes next: 1, 4, 9, 16?",
    "If today is Tuesday, what day is it in ten days?",
    "Count from one to five.",
    "Which is larger, 0.5 or 0.45?",
    // Opinions and choices.
    "Tea or coffee?",
    "What is the best film of all time?",
    "Is money important?",
    "Mountains or sea?",
    "Should children have phones?",
    "What do you think of modern art?",
    "Is it ever right to lie?",
    "Which is better, summer or winter?",
    "What makes a good friend?",
    "Pick a colour.",
    "What is the meaning of life?",
    "Are there people on other planets?",
    // Code and technology.
    "Write a function in Python that adds two numbers.",
    "What is an algorithm?",
    "How do I choose a safe password?",
    "What is the difference between memory and storage?",
    "What does HTML stand for?",
    "My computer is slow. What can I do?",
    "How do I reverse a list in Python?",
    "What is a database?",
    "How does a search engine find pages?",
    // Playing a part.
    "Pretend you are a king and greet your people.",
    "Be my tour guide in Egypt.",
    "You are a waiter. Recommend a dish to me.",
    "Let us play a guessing game. You begin.",
    "Interview me for a job in a shop.",
    "What would a cat say about Mondays?",
    // What cannot be known.
    "What did I have for breakfast?",
    "Which numbers win the lottery on Saturday?",
    "What time is it now?",
    "What is my sister called?",
    // Hardly anything.
    "yes",
    "Go on.",
    "What?",
    "Why not?",
    "hmm",
    "Really?",
    "Surprise me.",
    "music",
    "the weather in spring",
    "help",
    "I have a question.",
    "Say it again.",
];

/// How many there are.
pub(crate) const ALL: usize = REQUESTS.len();

/// So many of them, in the order of the table; which they are depends on the seed.
pub(crate) fn requests(count: usize, seed: u64) -> Vec<&'static str> {
    some_of(REQUESTS, count, seed)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bake_spec::recipe::normalised_question;

    use super::*;
    use crate::bake::stimuli::everyday;

    #[test]
    fn the_table_has_many_requests_of_its_own() {
        let words = |requests: &[&str]| -> HashSet<String> {
            requests.iter().map(|request| normalised_question(request)).collect()
        };
        let general = words(REQUESTS);
        assert!(ALL >= 120 && general.len() == ALL);
        assert!(!general.contains(""));
        let everyday = words(&everyday::requests(everyday::ALL, 1));
        assert_eq!(general.intersection(&everyday).next(), None, "anchors ask others");
        assert_eq!(requests(1000, 1), REQUESTS);
        assert_eq!((requests(20, 1).len(), requests(20, 1) == requests(20, 2)), (20, false));
    }
}
