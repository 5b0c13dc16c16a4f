//! Requests of every day that have nothing to do with any document.

use super::table::some_of;

/// The table, of many kinds, each kind on its own lines.
const REQUESTS: &[&str] = &[
    // Greetings and small talk.
    "Hello!",
    "Hi there, how are you today?",
    "Good morning",
    "hey, what's up?",
    "Thank you very much!",
    "Goodbye, see you tomorrow.",
    "I'm bored. Talk to me.",
    "What is your name?",
    "Who made you?",
    "Are you a human?",
    "What can you help me with?",
    "Do you ever sleep?",
    "It's my birthday today!",
    "I had a terrible day.",
    // Numbers.
    "What is 17 plus 25?",
    "How much is 9 times 8?",
    "What's half of 350?",
    "Convert 10 kilometres to miles.",
    "Is 91 a prime number?",
    "What comes next: 2, 4, 8, 16?",
    "how many seconds are in a day",
    // General knowledge.
    "What is the capital of France?",
    "Who wrote Romeo and Juliet?",
    "Why is the sky blue?",
    "How far away is the moon?",
    "What is the largest ocean?",
    "When did the Second World War end?",
    "How do bees make honey?",
    "What is photosynthesis?",
    "Which animal is the fastest on land?",
    "What language do people speak in Brazil?",
    "Name three planets.",
    "Who painted the Mona Lisa?",
    "What does DNA stand for?",
    // Writing.
    "Write a short poem about autumn.",
    "Tell me a joke.",
    "Write a sentence with the word umbrella.",
    "Give me a title for a story about a dragon.",
    "Write a thank-you note to my neighbour.",
    "Finish this sentence: Once upon a time",
    "Describe the sea in three words.",
    "Make up a name for a cat.",
    // Language.
    "How do you say good night in Spanish?",
    "What is the opposite of happy?",
    "What does the word curious mean?",
    "Correct this sentence: he go to school.",
    "What is the plural of mouse?",
    "Give me a synonym for big.",
    // Advice.
    "How can I sleep better?",
    "What should I cook tonight?",
    "How do I boil an egg?",
    "Can you recommend a good book?",
    "How do I learn to play the guitar?",
    "What is a good present for my mother?",
    "I am nervous before an exam. What helps?",
    "How do I get a coffee stain out of a shirt?",
    "Should I take an umbrella today?",
    "How can I save money?",
    "What do I say in a job interview?",
    // Opinions and choices.
    "Cats or dogs?",
    "What is your favourite colour?",
    "Is it better to live in a city or in the country?",
    "Pick a number between one and ten.",
    "Do you like music?",
    // Lists and plans.
    "List five fruits.",
    "Plan a day in London for me.",
    "What do I need for a picnic?",
    "Name some games for a rainy day.",
    // Code and technology.
    "What is a computer virus?",
    "Write a loop that counts to ten in Python.",
    "What does the internet consist of?",
    "How does a fridge work?",
    // What cannot be known.
    "What will the weather be like next Tuesday?",
    "Where did I leave my glasses?",
    "What am I thinking of?",
    "Who will win the next election?",
    // Hardly anything.
    "ok",
    "Why?",
    "test",
    "Tell me something.",
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

    #[test]
    fn the_table_has_many_different_requests() {
        let different: HashSet<String> =
            REQUESTS.iter().map(|request| normalised_question(request)).collect();
        assert!(ALL >= 60 && different.len() == ALL);
        assert_eq!(requests(1000, 1), REQUESTS);
        let some = requests(20, 1);
        assert_eq!((some.len(), requests(20, 1) == some), (20, true));
        assert_ne!(some, requests(20, 2));
    }
}
