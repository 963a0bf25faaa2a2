import Client
import Foundation
import Operator

/// `martlet doctor --attack`: makes the attacks in an environment of its own, says of each how it ended, and sums up.
struct AttackReport {
    let client: APIClient
    let provider: String?  // nil: what the server makes VMs with
    let directory: String
    let server: Int32?  // the process of 'martlet up', where that is on this machine
    let console: Console

    /// Returns whether all walls stood.
    func make(only names: [String]) async throws -> Bool {
        let all = try Attack.all(in: directory)
        let chosen = names.isEmpty ? all : all.filter { names.contains($0.name) || names.contains($0.group) }
        guard !chosen.isEmpty else {
            throw ClientError(
                .refused, code: "no_such_attack", message: "No attack and no class is called so.",
                hint: "Classes: \(Set(all.map(\.group)).sorted().joined(separator: ", ")).")
        }
        let place = try await AttackPlace.make(client, provider: provider)
        do {
            let verdicts = try await console.withAnimation { try await make(chosen, at: place) }
            await place.destroy()
            return verdicts.allSatisfy(\.stood)
        } catch {
            await Task { await place.destroy() }.value  // although this task may be cancelled
            throw error
        }
    }

    private func make(_ attacks: [Attack], at place: AttackPlace) async throws -> [AttackVerdict] {
        let (name, isWatched) = try await place.look()
        let witness = VMWitness(vm: name, server: server)
        let driver = AttackDriver(
            client: client, environment: place.slug, provider: place.provider, isWatched: isWatched,
            witness: witness.map(Witness.init))
        try await driver.warmUp()
        var verdicts: [AttackVerdict] = []
        for attack in attacks {
            for mode in attack.modes {
                console.begin("\(attack.group)/\(attack.name), \(mode.rawValue)")
                let verdict = try await driver.make(attack, mode)
                console.finish(
                    verdict.stood ? .done : .failed,
                    verdict.stood ? verdict.seen : verdict.faults.joined(separator: "; "))
                console.event(verdict)
                verdicts.append(verdict)
            }
        }
        let fallen = verdicts.filter { !$0.stood }
        console.print("")
        console.print(table(fallen.isEmpty ? verdicts : fallen))
        console.print("")
        let sight = witness == nil ? "; its processes are not to be seen from here" : ""
        console.print(
            fallen.isEmpty
                ? "All \(verdicts.count) attacks failed at provider '\(place.provider)'\(sight)."
                : "\(fallen.count) of \(verdicts.count) attacks broke a wall at provider '\(place.provider)'\(sight).")
        return verdicts
    }

    private func table(_ verdicts: [AttackVerdict]) -> String {
        var table = TextTable(["ATTACK", "CLASS", "RUN", "EXPECTED", "SEEN", "VERDICT", "MS"])
        for verdict in verdicts {
            table.add([
                .init(verdict.name), .init(verdict.group), .init(verdict.mode.rawValue), .init(verdict.expected),
                .init(verdict.seen), verdict.stood ? .init("stood", .good) : .init("FELL", .bad),
                .init("\(verdict.milliseconds)"),
            ])
        }
        return table.text(.standard(for: .output))
    }

    private struct Witness: AttackWitness {
        let vm: VMWitness
        func look() async { await vm.look() }
        func differences() async -> [String] { await vm.differences() }
    }
}
