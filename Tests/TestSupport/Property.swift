/// Something that has to hold for every input, and does not for one.
package struct Violation: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// Throws ``Violation`` with the sentence unless it holds.
package func hold(_ holds: Bool, _ otherwise: @autoclosure () -> String) throws {
    if !holds { throw Violation(otherwise()) }
}
