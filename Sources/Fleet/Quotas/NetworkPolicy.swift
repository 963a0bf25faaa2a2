/// What runs may reach beside their own VM.
package enum NetworkPolicy: String, Sendable, Codable, CaseIterable {
    /// Nothing.
    case isolated = "none"
    /// The internet: no private address, none of this installation's machines, no other run.
    case egress
}
