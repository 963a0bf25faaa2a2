import Foundation
import TestSupport
import Testing

@testable import Fleet

extension Live {
    /// What gateways keep of where calls go.
    @Suite struct RouteTests {
        /// A cache of its own, as another gateway has one, that listens while `body` runs.
        private func withRoutes(_ bench: Bench, _ body: (RouteCache) async throws -> Void) async throws {
            let routes = RouteCache(database: bench.pool)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await routes.run() }
                defer { group.cancelAll() }
                let caller = try await bench.caller()
                let probe = try await bench.vm(.running, of: caller)
                try await eventually(describing: "it listens") {
                    routes.keep(probe, nil, of: caller.userID, since: routes.epoch)
                    return routes.environment(nil, of: caller.userID) != nil
                }
                try await body(routes)
            }
        }

        @Test func aMoveOrAChangeElsewhereIsHeardOf() async throws {
            try await withFleet { bench in
                try await withRoutes(bench) { routes in
                    let caller = try await bench.caller()
                    let vm = try await bench.vm(.running, of: caller)
                    func keep() async throws {
                        guard let now = try await bench.fleet.environments.find(vm.id) else {
                            Issue.record("the row is gone")
                            return
                        }
                        routes.keep(now, nil, of: caller.userID, since: routes.epoch)
                        routes.keep(now, vm.slug.rawValue, of: caller.userID, since: routes.epoch)
                        #expect(routes.environment(vm.slug.rawValue, of: caller.userID)?.id == vm.id)
                    }
                    try await keep()
                    await bench.fleet.environments.touchActivity(vm.id)  // is not told
                    #expect(routes.environment(nil, of: caller.userID)?.id == vm.id)
                    var change = EnvironmentUpdate()
                    change.variables = ["A": "b"]
                    try await bench.fleet.environments.update(vm.id, change, by: caller, requestID: nil)
                    try await eventually(describing: "the change") { routes.environment(nil, of: caller.userID) == nil }
                    try await keep()
                    _ = try await bench.fleet.environments.requestStop(vm.id, actor: AuditActor(caller))
                    try await eventually(describing: "the move") {
                        routes.environment(nil, of: caller.userID) == nil
                            && routes.environment(vm.slug.rawValue, of: caller.userID) == nil
                    }
                }
            }
        }

        @Test func onlyOnesOwnRunningOnesAreKeptAndOnlyWhatIsFresh() async throws {
            try await withFleet { bench in
                try await withRoutes(bench) { routes in
                    let (caller, other) = (try await bench.caller(), try await bench.caller())
                    let vm = try await bench.vm(.running, of: caller)
                    let asleep = try await bench.vm(.stopped, of: other)
                    routes.keep(vm, "x", of: other.userID, since: routes.epoch)
                    routes.keep(asleep, nil, of: other.userID, since: routes.epoch)
                    #expect(routes.environment("x", of: other.userID) == nil)
                    #expect(routes.environment(nil, of: other.userID) == nil)
                    let epoch = routes.epoch
                    routes.forget(other.userID)
                    routes.keep(vm, nil, of: caller.userID, since: epoch)  // something was told while it was read
                    #expect(routes.environment(nil, of: caller.userID) == nil)
                }
            }
        }

        @Test func nothingIsKeptWhileNothingIsHeard() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let vm = try await bench.vm(.running, of: caller)
                let routes = RouteCache(database: bench.pool)
                routes.keep(vm, nil, of: caller.userID, since: routes.epoch)
                #expect(routes.environment(nil, of: caller.userID) == nil)
            }
        }

        @Test func whatThisProcessChangesIsForgottenAtOnce() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let environments = bench.fleet.environments
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await environments.routes.run() }
                    defer { group.cancelAll() }
                    let vm = try await bench.vm(.running, of: caller)
                    try await eventually(describing: "it is kept") {
                        environments.routes.keep(vm, nil, of: caller.userID, since: environments.routes.epoch)
                        return environments.routes.environment(nil, of: caller.userID) != nil
                    }
                    _ = try await environments.requestStop(vm.id, actor: AuditActor(caller))
                    #expect(environments.routes.environment(nil, of: caller.userID) == nil)
                }
            }
        }
    }
}
