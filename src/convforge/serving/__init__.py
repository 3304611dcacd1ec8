"""What shows a compiled classifier to people and programs: a server, and the page in `page/`.

api.create_app       the routes, and the gate before them: keys, limits, log lines, metrics
uploads              from a request's body to pictures
service.Service      from pictures to answers, by workers
workers.Workers      a bounded queue and the threads that take from it
protocol             the Open Inference Protocol, tensors in and out
server.serve         a socket, until SIGTERM
"""
