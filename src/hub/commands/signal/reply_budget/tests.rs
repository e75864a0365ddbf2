use super::*;

#[test]
fn what_is_given_back_can_be_taken_again_and_never_more_than_there_is() {
    let budget = ReplyBudget::new(10);
    let seven = budget.take(7).unwrap();
    assert!(budget.take(4).is_none());
    let three = budget.take(3).unwrap();
    assert!(budget.take(1).is_none());
    drop(seven);
    assert!(budget.take(7).is_some());
    drop(three);
    assert!(budget.take(10).is_some());
}
